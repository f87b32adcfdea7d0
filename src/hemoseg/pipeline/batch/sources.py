"""Which scans are meant: files, folders, patterns and tables, in their order and each with a name of its own."""

import csv
import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hemoseg.artifacts import readable
from hemoseg.errors import InputError
from hemoseg.io import scan_name
from hemoseg.pipeline.batch.results import without_results

PATH_COLUMNS = ("path", "scan", "image", "file")
"""Columns of a table that may hold the scans; the first that is there does."""
NAME_COLUMN = "name"
"""Column of a table that holds the names of results."""
ENDINGS = (".nii", ".nii.gz")
"""Endings of files that are scans where a folder or a pattern finds them."""
FILES = f"files that end in {' or '.join(ENDINGS)}"
"""What is expected of folders and patterns."""
LOOKED_AT = 16
"""Files of a folder without scans that are looked at for what they are."""
NAME = re.compile(r"[^/\\\0.][^/\\\0]*")
"""What can name a folder of results."""
LONGEST_NAME = 200
"""Bytes of a result's name: file systems take 255 for a file's, and temporary files have longer names than results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A scan to segment."""

    path: Path
    """Its file."""
    name: str
    """Name of its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoScan:
    """A file that no result can be named after."""

    path: Path
    """The file."""
    error: InputError
    """Why."""

    @property
    def name(self) -> str:
        """What it is called where results are told."""
        return self.path.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The scans that were asked for."""

    files: tuple[Scan | NoScan, ...]
    """All files, in their order."""
    is_batch: bool
    """Whether more than one file was named, or a folder, a pattern or a table."""

    @property
    def scans(self) -> tuple[Scan, ...]:
        """Those that can be segmented, in their order."""
        return tuple(file for file in self.files if isinstance(file, Scan))


def find_scans(sources: Sequence[str]) -> Found:
    """The scans that words on a command line stand for.

    A word is a file, a folder (its `.nii` and `.nii.gz` by name, not those of folders in it), a pattern
    with `*`, `?`, `[]` or `**` (by path), or a `.csv` table. Results of ours are no scans for a folder or pattern.

    Raises:
        InputError: a folder, pattern or table has no scan, a table cannot be read, two scans have one name, or the
            only file is none.
    """
    files: list[Scan | NoScan] = []
    is_batch = len(sources) > 1 or _kind(sources[0]) != "file"
    for source in sources:
        for path, name in _listed(source):
            try:
                files.append(Scan(path=path, name=_name_of(path) if name is None else name))
            except InputError as error:
                if not is_batch:
                    raise
                files.append(NoScan(path=path, error=error))
    found = Found(files=tuple(_once(files)), is_batch=is_batch)
    _check_names(found.scans)
    return found


def _once(files: Iterable[Scan | NoScan]) -> Iterator[Scan | NoScan]:
    """Each file once for each of its names, as words may overlap."""
    seen = set()
    for file in files:
        place = os.path.abspath(file.path), file.name  # noqa: PTH100 - Path.resolve would follow links
        if place not in seen:
            seen.add(place)
            yield file


def take_shard(found: Found, number: int, count: int) -> Found:
    """The part of the scans that one of several processes takes: every `count`-th file, from `number` - 1 on.

    Example:
        >>> files = tuple(Scan(path=Path(name), name=name) for name in "abcde")
        >>> [scan.name for scan in take_shard(Found(files=files, is_batch=True), 2, 3).scans]
        ['b', 'e']
    """
    return Found(files=found.files[number - 1 :: count], is_batch=True)


def _kind(source: str) -> str:
    """What a word stands for; an existing path is never a pattern."""
    path, is_there, is_folder = Path(source), False, False
    with suppress(OSError):  # a name that no file system takes is nothing's; reading it tells
        is_there, is_folder = path.exists(), bool(source) and path.is_dir()
    if is_folder:
        return "folder"
    if path.suffix.lower() == ".csv":
        return "table"
    return "pattern" if glob.has_magic(source) and not is_there else "file"


def _listed(source: str) -> Iterator[tuple[Path, str | None]]:
    """The scans of one word, with names where a table gives them."""
    kind = _kind(source)
    if kind == "file":
        yield Path(source), None
        return
    if kind == "table":
        yield from _table(Path(source))
        return
    with readable(Path(source)):
        inside = Path(source).iterdir() if kind == "folder" else map(Path, _glob(source))
        found = without_results(sorted(path for path in inside if _is_scan(path)))
    if not found:
        raise _no_scan(source, kind)
    yield from ((path, None) for path in found)


def _name_of(path: Path) -> str:
    """What its result is named after.

    Raises:
        InputError: it is neither there nor named as a scan, or is there and no scan, or the name is too long.
    """
    if (length := _length(path.name)) > LONGEST_NAME:
        raise InputError(
            f"a name of {length} bytes",
            where=path,
            expected=f"at most {LONGEST_NAME}, since its result is named after it",
            remedy="check the path; a table with the columns path and name can give a shorter name",
        )
    try:
        return scan_name(path)
    except InputError:
        with readable(path):
            is_there = path.exists()
        if is_there and path.name:
            raise
        raise InputError(
            "no such file or folder",
            where=path,
            expected="a scan, a folder of scans, a pattern or a table",
            remedy="check the path",
        ) from None


def _length(name: str) -> int:
    """Bytes of a file's name without its ending, as file systems count."""
    return len(os.fsencode(name.removesuffix(".gz").removesuffix(".nii")))


def _no_scan(source: str, kind: str) -> InputError:
    """What to say of a folder or pattern without scans."""
    found = "no scan is there" if kind == "folder" else "no scan fits this pattern"
    remedy = "check the path; for folders in folders give a pattern like 'FOLDER/**/*.nii.gz', in quotes"
    if kind == "folder":
        with readable(Path(source)):
            if any(map(_is_dicom, sorted(Path(source).iterdir())[:LOOKED_AT])):
                found += ", but DICOM"
                remedy = f"convert the series, for example with dcm2niix -z y -o SCANS {source}"
    return InputError(found, where=source, expected=FILES, remedy=remedy)


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with readable(path), path.open("rb") as handle:
        return handle.read(132)[128:] == b"DICM"


def _glob(pattern: str) -> list[str]:
    """What fits a pattern, which may be absolute; hidden folders are left out."""
    return glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern


def _is_scan(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(ENDINGS) and not name.startswith(".") and path.is_file()


def _table(path: Path) -> list[tuple[Path, str | None]]:
    """The scans of a table; paths are as seen from its folder."""
    try:
        with readable(path), path.open(encoding="utf-8-sig", newline="") as handle:
            first = handle.readline()
            handle.seek(0)
            reader = csv.DictReader(handle, strict=True, delimiter=_separator(first))
            columns = {name.strip().lower(): name for name in reader.fieldnames or () if name}
            rows = list(reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise _bad_table(path, f"no table that can be read ({error})") from error
    column = next((columns[name] for name in PATH_COLUMNS if name in columns), None)
    if column is None:
        raise _bad_table(path, f"columns {', '.join(columns) or 'without names'}")
    found = []
    for number, row in enumerate(rows, start=2):
        file = (row[column] or "").strip()
        if not file:
            raise _bad_table(path, f"row {number} has no path")
        name = (row.get(columns.get(NAME_COLUMN, ""), "") or "").strip() or None
        if name is not None and not NAME.fullmatch(name):
            raise _bad_table(path, f"row {number} has the name '{name}', which can be no folder's")
        if name is not None and (length := _length(name)) > LONGEST_NAME:
            raise _bad_table(path, f"row {number} has a name of {length} bytes, and {LONGEST_NAME} are the most")
        found.append((path.parent / file, name))
    if not found:
        raise _bad_table(path, "no rows")
    return found


def _separator(first: str) -> str:
    """What stands between the columns, by a table's first row: office programs write semicolons in some languages."""
    return ";" if ";" in first and "," not in first else ","


def _bad_table(path: Path, found: str) -> InputError:
    return InputError(
        found,
        where=path,
        expected=f"a csv file whose first row names a column {', '.join(PATH_COLUMNS[:-1])} or {PATH_COLUMNS[-1]} "
        f"with one scan per row, and perhaps one called {NAME_COLUMN}",
        remedy="add the missing, with paths as seen from the table's folder",
    )


def _check_names(scans: Sequence[Scan]) -> None:
    """Make sure that no two scans have one name, on disks too that know no upper and lower case.

    Raises:
        InputError: two have; it names both.
    """
    taken: dict[str, Scan] = {}
    for scan in scans:
        other = taken.setdefault(scan.name.casefold(), scan)
        if other is not scan:
            raise InputError(
                f"two scans have the name {scan.name}: {other.path} and {scan.path}",
                where="SCAN...",
                expected="a name of its own for each, since its result is named after it",
                remedy="give names in a table with the columns path and name, or segment them in separate calls with "
                "different --out folders",
            )
