"""Commands in the documentation: each parses, and those marked to run do."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pages import SHELLS, Block, all_blocks, blocks_of, commands_of
from torch.distributed.run import parse_args as torchrun_options

from hemoseg.cli import make_app

SHELL_BLOCKS = [block for block in all_blocks() if block.language in SHELLS]
LINES = [
    pytest.param(line, id=f"{block} {line}")
    for block in SHELL_BLOCKS
    for line in commands_of(block)
    if line.split()[0] in ("hemoseg", "torchrun", "srun")
]


def started(words: list[str]) -> list[str]:
    """The command that torchrun is to start, as its own parser has it; others are what they are."""
    if words[0] == "srun":
        words = words[1:]
    if words[0] != "torchrun":
        return words
    options = torchrun_options(words[1:])
    assert options.module, "torchrun needs -m"
    return [options.training_script, *options.training_script_args]


def parse(line: str) -> None:
    """Parse a `hemoseg` command line as the program would, up to a pipe or a redirection, and run nothing."""
    words = started(shlex.split(line, comments=True))
    _, name, *options = takewhile(lambda word: word not in {"|", ">", "&&", ";"}, words)
    if name.startswith("-"):
        assert name == "--help", f"no option {name}"
        return
    commands = typer.main.get_command(make_app()).commands
    assert name in commands, f"no command {name}"
    command = commands[name]
    if hasattr(command, "commands"):
        name, *options = options
        assert name in command.commands, f"no command {name}"
        command = command.commands[name]
    if "--help" not in options:
        command.make_context(name, options)


@pytest.mark.parametrize("line", LINES)
def test_each_documented_command_parses(line: str) -> None:
    try:
        parse(line)
    except typer.BadParameter as error:
        if "does not exist" not in str(error):  # an option may want a folder that only the reader has
            raise


@pytest.mark.parametrize(
    "line",
    [
        "hemoseg segmnt head.nii.gz --out results",
        "hemoseg segment head.nii.gz --output results",
        "hemoseg segment head.nii.gz",
        "hemoseg segment --out results",
        "hemoseg segment head.nii.gz --out results --device tpu",
        "hemoseg --no-such-option",
        "hemoseg nnunet import-modl FOLDER OUT",
        "hemoseg nnunet import-model FOLDER",
        "torchrun --nproc-per-node 2 -m -- hemoseg trian --run DIR",
    ],
)
def test_a_wrong_command_does_not_parse(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no (command|option|such option)|missing|invalid|is not one of"):
        parse(line)


def test_prompts_outputs_and_continued_lines_are_told_apart() -> None:
    page = "<!-- run -->\n```console\n$ hemoseg run A \\\n    --run B\n120 cases\n```\n\n```sh\nls\n```\n"
    first, second = blocks_of(page, Path("page.md"))
    assert [line.split() for line in commands_of(first)] == [["hemoseg", "run", "A", "--run", "B"]]
    assert commands_of(second) == ["ls"]
    assert (first.is_run, second.is_run) == (True, False)
    assert str(second) == "page.md:8"


@pytest.mark.parametrize("block", [block for block in SHELL_BLOCKS if block.is_run], ids=str)
def test_marked_commands_run(block: Block, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands_of(block))],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr


def _commands() -> Iterator[tuple[str, Any]]:
    """All commands, those of a group by both names."""
    for name, command in typer.main.get_command(make_app()).commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", item) for inner, item in command.commands.items())
        else:
            yield name, command


def test_every_command_is_in_the_reference() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/commands.md").read_text()
    for name, command in _commands():
        assert f"## {name}\n" in page
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            option = parameter.opts[0]
            assert not option.startswith("--") or f"`{option}" in section, f"{name} {option} is not described"
