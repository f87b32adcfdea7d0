"""The documentation as the tests see it: pages, and the fenced blocks in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN_MARK = "<!-- run -->"
"""Stands directly before a block of commands that the tests execute."""
SHELLS = frozenset({"console", "sh"})
"""Languages of blocks with commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block."""

    page: Path
    """The page, relative to the root."""
    line: int
    """Line of the opening fence, from 1."""
    language: str
    """What stands after the fence."""
    text: str
    """What stands between the fences."""
    is_run: bool
    """Whether the tests execute it."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def all_pages() -> list[Path]:
    """Every Markdown page of the project."""
    folders = [ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md"), (ROOT / "changes").glob("*.md")]
    return sorted(path for found in folders for path in found)


def all_blocks() -> list[Block]:
    """Every fenced block of every page."""
    return [block for page in all_pages() for block in blocks_of(page.read_text(), page.relative_to(ROOT))]


def blocks_of(text: str, page: Path) -> Iterator[Block]:
    """The fenced blocks of one page."""
    fences = re.finditer(r"^(```+)(\w*)\n(.*?)^\1$", text, flags=re.MULTILINE | re.DOTALL)
    for fence in fences:
        before = text[: fence.start()]
        yield Block(
            page=page,
            line=before.count("\n") + 1,
            language=fence[2],
            text=fence[3],
            is_run=before.rstrip().endswith(RUN_MARK),
        )


def commands_of(block: Block) -> list[str]:
    """The command lines of a shell block; where some begin with `$`, the others are output."""
    lines = block.text.replace("\\\n", " ").splitlines()
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    return prompted or [line for line in lines if line.strip()]
