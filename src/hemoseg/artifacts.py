"""Files that appear whole or not at all, and their hashes."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hemoseg.errors import ArtifactError, HemosegError, InputError, ResourceError

Model = TypeVar("Model", bound=BaseModel)
TEMPORARY = ".hemoseg.tmp."
"""Beginning of every temporary name, so that what a killed process left is known for what it is."""


@contextmanager
def whole_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, fsynced, when the block ends well.

    The temporary name ends as `path` does, since writers choose their format by the ending.

    Args:
        path: the file.
        durable: whether it has to be whole after a power failure too. A record that its reader checks and that can
            be made again need not, and waiting for the disk may take longer than making it.

    Raises:
        InputError: something that is no file lies in its place, or a file where its folder should be.
        ResourceError: the disk is full or the folder cannot be written.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(
            "a link, a device or a folder, which a file would replace",
            where=path,
            expected="no such path, or a file",
            remedy="remove it, or choose another place",
        )
    temporary = path.with_name(f"{TEMPORARY}{_process()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # the folder may be no folder; that failure was told above
            temporary.unlink()


@contextmanager
def appended(path: Path) -> Iterator[None]:
    """Inside the block a file that is there grows.

    Raises:
        ResourceError: the disk is full or the file cannot be written; its last line may be cut short.
    """
    try:
        yield
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well; an older one goes.

    Raises:
        InputError: a file lies where a folder should be.
        ResourceError: the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        if path.exists():
            old = _temporary_folder(path.parent)
            path.rename(old / path.name)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    except HemosegError as error:
        if isinstance(error.where, Path) and error.where.is_relative_to(temporary):
            place = path / error.where.relative_to(temporary)
            raise type(error)(error.found, where=place, expected=error.expected, remedy=error.remedy) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> bool:
    """Give a file a second name, or copy it where the file system cannot: then the copy appears whole or not at all.

    A linked file is the source: neither is ever to be written in place.

    Returns:
        Whether it was linked.

    Raises:
        ResourceError: the target cannot be written.
    """
    with suppress(OSError):  # another device, no hard links, no leave: copying tells what is wrong beside
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.link(source.resolve(), target)
        _sync_folder(target.parent)
        return True
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)
    return False


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all; bytes of a file's name that are no text become escapes as in JSON."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (no NaN), indented, whole or not at all."""
    write_text(path, dump_json(value))


def dump_json(value: Any) -> str:
    """Strict JSON text: indented, UTF-8 kept, NaN and infinity refused; bytes of a file's name that are no text become
    JSON's escapes."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace").decode()


def write_model(path: Path, model: BaseModel) -> None:
    """Write a versioned model as JSON, whole or not at all."""
    write_json(path, model.model_dump(mode="json"))


def read_model(path: Path, kind: type[Model], *, remedy: str) -> Model:
    """Read a versioned model back.

    Raises:
        ArtifactError: the file is absent or cannot be read, is no JSON, or is of another version.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtifactError("no such file", where=path, expected=f"a {kind.__name__} file", remedy=remedy) from error
    except OSError as error:
        raise ArtifactError(
            f"cannot be read: {error.strerror or error}",
            where=path,
            expected=f"a {kind.__name__} file",
            remedy="check its permissions; remove a folder in its place",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ArtifactError(
            f"{at}: {first['msg']}",
            where=path,
            expected=f"a {kind.__name__} file as this version of hemoseg writes it",
            remedy=remedy,
        ) from error


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Failures to read what the user gave, as input errors that name the file.

    Args:
        path: the file or folder that is read, named where the system names none.

    Raises:
        InputError: it is absent, of another kind, or may not be read.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror or error}",
            where=Path(error.filename) if isinstance(error.filename, str) else path,
            expected="a file that can be read",
            remedy="check the path, the permissions and the disk",
        ) from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def check_writable(folder: Path) -> None:
    """Make sure that a folder can be written to, or made, before hours of work for it; nothing is left there.

    Raises:
        InputError: it would lie in a file.
        ResourceError: it cannot.
    """
    above = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        _temporary_folder(beside=above).rmdir()
    except OSError as error:
        raise _cannot_write(folder, error) from error


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written below a folder that no other process works in."""
    for path in list(folder.rglob(f"{TEMPORARY}*")):
        _remove(path)


def sweep_gone(folder: Path) -> None:
    """Remove what killed processes of this machine left half-written in a folder where others may be writing now."""
    for path in list(folder.glob(f"{TEMPORARY}*")):
        number, _, rest = path.name.removeprefix(TEMPORARY).partition(".")
        if number.isdecimal() and rest.startswith(f"{_machine()}.") and not _is_running(int(number)):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _temporary_folder(beside: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{_process()}.", dir=beside))


def _process() -> str:
    """This process in a temporary name: its number, and the machine that has given it, since disks are shared."""
    return f"{os.getpid()}.{_machine()}"


def _machine() -> str:
    return os.uname().nodename.replace(".", "-")


def _is_running(number: int) -> bool:
    """Whether there is a process with this number, of whomever."""
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _umask() -> int:
    """The process's umask; reading it takes setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> HemosegError:
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return InputError(
            f"cannot be written: {error.strerror}",
            where=path,
            expected="a folder to write into",
            remedy="choose another place: a file lies where a folder should be",
        )
    return ResourceError(
        f"cannot be written: {error.strerror or error}",
        where=path,
        expected="a folder that can be written, with space left",
        remedy="free space or choose another folder",
    )
