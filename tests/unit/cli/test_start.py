"""The first moments of the command: an interrupt ends it quietly whatever is being loaded."""

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hemoseg.cli import SPINS, main

INTERRUPTED = """
import builtins, os, runpy, sys
load, (wanted, number, command) = builtins.__import__, (sys.argv[1], int(sys.argv[2]), sys.argv[3])
sys.argv[1:] = [command]

def interrupted(name, *arguments, **options):
    if name == wanted:
        os.kill(os.getpid(), number)
    return load(name, *arguments, **options)

builtins.__import__ = interrupted
runpy.run_module("hemoseg", run_name="__main__")
"""

TOLD = """
import atexit, os, sys
from hemoseg import cli
tell, (moment, number) = cli.print_failure, (sys.argv[1], int(sys.argv[2]))
sys.argv[1:] = sys.argv[3:]

def signaled(at):
    if at == moment:
        os.kill(os.getpid(), number)

def told(failure):
    signaled("before")
    tell(failure)
    signaled("after")

cli.print_failure = told
atexit.register(signaled, "exit")
cli.main()
"""

LOADED = [("hemoseg.cli.progress", "fingerprint"), ("hemoseg.report", "version")]
"""What a command needs, with its command."""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("module", ["hemoseg.cli", "typing", "signal", "typer", "hemoseg.cli.failures"])
def test_an_interrupt_while_the_command_line_is_loaded_ends_it_quietly(module, number, code):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module, str(int(number)), "version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_nothing_is_loaded_before_an_interrupt_ends_the_command_quietly():
    script = "import sys; before = {*sys.modules}; import hemoseg.__main__; print(*sorted({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["hemoseg", "hemoseg.__main__"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("module", "command"), [("hemoseg.cli.progress", "fingerprint"), ("hemoseg.report", "version")]
)
def test_an_interrupt_while_a_command_loads_what_it_needs_says_so(module, command, number, code):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module, str(int(number)), command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == code
    assert f"stopped by signal {int(number)}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["before", "after", "exit"])
def test_a_signal_while_an_error_is_told_leaves_its_text_and_exit_code(moment, number, tmp_path):
    """As when torchrun ends the processes that lost another one."""
    done = subprocess.run(
        [sys.executable, "-c", TOLD, moment, str(int(number)), "report", "--run", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("  try: ") == 1
    assert "Traceback" not in done.stderr
    assert "stopped by signal" not in done.stderr


def test_the_command_begins_there():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"hemoseg": "hemoseg.__main__:main"}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": SPINS}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_waiting_threads_soon_sleep_unless_the_environment_says_otherwise(own, expected, monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, own.get(name, ""))
        if name not in own:
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["hemoseg", "version"])
    with pytest.raises(SystemExit):
        main()
    assert {name: os.environ[name] for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if name in os.environ} == expected
