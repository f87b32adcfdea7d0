"""What went wrong, in words for people: one error, or a table of those of a batch."""

from collections.abc import Sequence
from pathlib import Path

from hemoseg.errors import HemosegError, ResourceError, lacks_extra


def failure_of(error: HemosegError | MemoryError | OSError | ModuleNotFoundError, *, where: Path | str) -> HemosegError:
    """The error as one of ours.

    Raises:
        ModuleNotFoundError: the same again, where the package should always be there.
    """
    if isinstance(error, HemosegError):
        return error
    if isinstance(error, ModuleNotFoundError):
        return lacks_extra(error, where=where)
    if isinstance(error, MemoryError):
        return ResourceError(
            "out of memory",
            where=where,
            expected="enough memory for scan and network",
            remedy="a machine with more of it",
        )
    return ResourceError(
        str(error), where=where, expected="a disk that can be read and written", remedy="free space or mend the disk"
    )


def print_failure(error: HemosegError) -> None:
    """One error on stderr."""
    from rich.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {error}", style="red", markup=False)


def print_failures(failures: Sequence[tuple[str, HemosegError]]) -> None:
    """A table of what failed on stderr."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("scan", "found", "expected", "try", title=f"{len(failures)} failed", style="red")
    for scan, error in failures:
        table.add_row(*map(escape, (scan, error.found, error.expected, error.remedy)))
    Console(stderr=True, highlight=False).print(table)
