"""A NIfTI file gzipped or inflated; its content stays as it is."""

import shutil
from pathlib import Path

from isal import igzip

from hemoseg.artifacts import whole_file
from hemoseg.io.nifti import PIECE
from hemoseg.io.write import zipped_into


def recode(source: Path, target: Path) -> None:
    """Write a `.nii` as `.nii.gz` or the other way round.

    Args:
        source: a file that is known to be whole; whether it is gzipped is seen from its first bytes.
        target: file to write, `.nii.gz` or `.nii`; it appears whole or not at all.

    Raises:
        ResourceError: the file cannot be written.
    """
    with source.open("rb") as file, whole_file(target) as temporary, temporary.open("wb") as out:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        content = igzip.IGzipFile(fileobj=file, mode="rb") if zipped else file  # type: ignore[no-untyped-call]
        if not target.name.endswith(".gz"):
            shutil.copyfileobj(content, out, PIECE)
            return
        with zipped_into(out) as stream:
            shutil.copyfileobj(content, stream, PIECE)
