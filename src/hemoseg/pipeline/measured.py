"""The data set of a run as it was measured: every stage reads the same files, or none."""

from collections.abc import Iterable
from pathlib import Path

from hemoseg.datasets import Dataset, index_dataset, source_of
from hemoseg.errors import SettingsError
from hemoseg.pipeline.folder import RunFolder

REMEDY = "use a new --run folder for a changed data set"
"""What helps in either case."""


def measured_dataset(folder: RunFolder, cases: Iterable[str] = ()) -> Dataset:
    """The data set that the run's fingerprint was made from.

    Args:
        folder: the run.
        cases: names of the cases whose files are compared with their hashes, too.

    Raises:
        SettingsError: cases came or went, or a file changed.
    """
    fingerprint = folder.fingerprint()
    dataset = index_dataset(Path(fingerprint.dataset))
    if dataset.digest != fingerprint.digest:
        raise SettingsError(
            f"the data set {dataset.root} changed since it was measured",
            where=folder.fingerprint_file,
            expected=f"the files with digest {fingerprint.digest[:12]}, found {dataset.digest[:12]}",
            remedy=REMEDY,
        )
    files = {case.name: case for case in dataset.cases}
    hashes = {case.name: case.source_sha256 for case in fingerprint.cases}
    for name in cases:
        if source_of(files[name]) != hashes[name]:
            raise changed(name, folder.fingerprint_file)
    return dataset


def changed(case: str, where: Path) -> SettingsError:
    """The error for a case whose files are others than were measured."""
    return SettingsError(
        f"image or label of {case} changed since it was measured",
        where=where,
        expected="the files that the fingerprint was made from",
        remedy=REMEDY,
    )
