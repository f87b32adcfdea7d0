"""One process per folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hemoseg.errors import InputError, ResourceError


@contextmanager
def locked(path: Path, *, remedy: str) -> Iterator[None]:
    """Keep other processes out of a folder; the system lets go when this one ends, however it ends.

    Args:
        path: the folder, made if it is not there.
        remedy: what else to do, for error texts.

    Raises:
        InputError: a file lies where a folder should be.
        ResourceError: another process works in the folder, or it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = (path / ".lock").open("w")
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(
            f"cannot be used: {error.strerror}",
            where=Path(error.filename),
            expected="a folder, or a path where one can be made",
            remedy=f"{remedy}, or move what lies there",
        ) from error
    except OSError as error:
        raise ResourceError(
            f"cannot be used: {error.strerror}",
            where=path,
            expected="a folder that can be written",
            remedy=remedy,
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ResourceError(
                "another process works in this folder",
                where=path,
                expected="one process per folder",
                remedy=f"wait for it, stop it, or {remedy}",
            ) from error
        yield
