"""Which prediction belongs to which reference, and whether they lie in the same place."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hemoseg.artifacts import readable
from hemoseg.errors import GeometryError, InputError
from hemoseg.geometry import Grid

TOLERANCE_MM = 0.1
"""Corners of prediction and reference may lie this far apart: a tenth of a fine pixel, far above rounding."""
CHANNEL = "_0000"
"""What the file of a case's first image channel is called beside the case, in nnU-Net's data sets."""
NAMES_SHOWN = 8
"""Cases that an error names before it counts the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFiles:
    """One case: its files, and whose it is."""

    case: str
    """Name of the case."""
    patient: str
    """Whose scan it is; the case itself where nothing is known."""
    prediction: Path
    """The predicted label map."""
    reference: Path
    """The reference label map."""


def pair_folders(
    predictions: Path, references: Path, *, cases: Sequence[str] | None, patients: dict[str, str] | None = None
) -> list[PairFiles]:
    """The files of every case, sorted by case.

    Args:
        predictions: folder with `CASE.nii.gz`, `CASE.nii` or `CASE/mask.nii.gz`.
        references: folder with `CASE.nii.gz` or `CASE.nii`.
        cases: these alone; None takes all and wants both folders to hold the same.
        patients: {case: patient}; None takes every case for a patient of its own.

    Raises:
        InputError: a folder is absent, a case is doubled, or on one side only, or has no patient; all are named.
    """
    expected = find_masks(references, in_folders=False)
    predicted = find_predictions(predictions, expected)
    wanted = sorted({*predicted, *expected} if cases is None else set(cases))
    if not wanted:
        raise InputError(
            "no cases",
            where=predictions,
            expected="CASE.nii.gz or CASE/mask.nii.gz for each case",
            remedy="check the paths: PREDICTIONS come first, REFERENCES second",
        )
    lacks = {"no prediction for": predicted, "no reference for": expected}
    check_complete(wanted, lacks, where=f"{predictions} and {references}")
    if patients is not None:
        check_complete(wanted, {"no patient for": patients}, where=f"{references}, patients.csv")
    owner = patients or {}
    return [
        PairFiles(case=case, patient=owner.get(case, case), prediction=predicted[case], reference=expected[case])
        for case in wanted
    ]


def check_complete(wanted: Sequence[str], found: Mapping[str, Collection[str]], *, where: str) -> None:
    """Refuse cases that are not everywhere.

    Args:
        wanted: names of cases.
        found: {what to say of a case that is not among them: cases}.
        where: both places, for people.

    Raises:
        InputError: a case is lacking somewhere; all of them are named.
    """
    lacks = {what: [case for case in wanted if case not in there] for what, there in found.items()}
    said = [f"{what} {listed(names)}" for what, names in lacks.items() if names]
    if said:
        raise InputError(
            "; ".join(said),
            where=where,
            expected="one prediction and one reference of the same name for each case",
            remedy="move or rename files so that both folders hold the same cases",
        )


def listed(cases: Sequence[str], kind: str = "case") -> str:
    """The number of cases, or of what else they are, and the first names."""
    count = f"{len(cases)} {kind}{'s' if len(cases) > 1 else ''}"
    more = ", …" if len(cases) > NAMES_SHOWN else ""
    return f"{count}: {', '.join(cases[:NAMES_SHOWN])}{more}"


def apart_mm(prediction: Grid, reference: Grid) -> float:
    """How far corners of two grids of one shape lie apart; infinite if the shapes differ."""
    return prediction.corner_distance_mm(reference) if prediction.shape == reference.shape else float("inf")


def check_same_shape(prediction: Grid, reference: Grid, *, where: Path) -> None:
    """Refuse grids of different shapes.

    Raises:
        GeometryError: they differ.
    """
    if prediction.shape != reference.shape:
        raise GeometryError(
            f"the prediction has {prediction.shape} voxels (z, y, x), the reference {reference.shape}",
            where=where,
            expected="the same shape",
            remedy="resample the prediction onto the reference's grid with nearest neighbors",
        )


def check_same_place(prediction: Grid, reference: Grid, *, where: Path) -> None:
    """Refuse grids that are not the same.

    Raises:
        GeometryError: other shape, or corners further apart than `TOLERANCE_MM`.
    """
    check_same_shape(prediction, reference, where=where)
    apart = apart_mm(prediction, reference)
    if not apart <= TOLERANCE_MM:
        raise GeometryError(
            f"corners of prediction and reference lie {apart:.2f} mm apart",
            where=where,
            expected=f"the same place within {TOLERANCE_MM:g} mm",
            remedy="look at both in a viewer; if the voxels match, copy the reference's header",
        )


def find_predictions(folder: Path, references: Collection[str]) -> dict[str, Path]:
    """{case: file} of a folder of predictions, as `find_masks`.

    Scans of data sets end in `_0000`, the number of the image channel, and so do results that are named after them:
    where there is no reference of such a name, the number is no part of the case's.

    Args:
        folder: where label maps lie, as `CASE.nii.gz`, `CASE.nii` or `CASE/mask.nii.gz`.
        references: names of the cases that there are references for.

    Raises:
        InputError: no such folder, or two files for one case.
    """
    found: dict[str, Path] = {}
    for name, path in find_masks(folder, in_folders=True).items():
        case = name.removesuffix(CHANNEL)
        case = case if name not in references and case in references else name
        if case in found:
            raise _two_files(case, found[case], path, folder)
        found[case] = path
    return found


def find_masks(folder: Path, *, in_folders: bool) -> dict[str, Path]:
    """{case: file} of a folder, sorted by case; hidden files are passed over.

    Args:
        folder: where label maps lie.
        in_folders: whether `CASE/mask.nii.gz` counts too.

    Raises:
        InputError: no such folder, or two files for one case.
    """
    if not folder.is_dir():
        raise InputError("no such folder", where=folder, expected="a folder with CASE.nii.gz", remedy="check the path")
    found: dict[str, Path] = {}
    with readable(folder):
        paths = sorted(folder.iterdir())
    for path in paths:
        case, file = _case(path, in_folders=in_folders)
        if case is None:
            continue
        if case in found:
            raise _two_files(case, found[case], file, folder)
        found[case] = file
    return found


def _two_files(case: str, first: Path, second: Path, folder: Path) -> InputError:
    return InputError(
        f"two files for case {case}: {first} and {second}",
        where=folder,
        expected="one file per case",
        remedy="remove the one that is not meant",
    )


def _case(path: Path, *, in_folders: bool) -> tuple[str | None, Path]:
    if path.name.startswith("."):
        return None, path
    if path.is_dir():
        mask = path / "mask.nii.gz"
        return (path.name if in_folders and mask.is_file() else None), mask
    ending = next((end for end in (".nii.gz", ".nii") if path.name.endswith(end)), None)
    return (path.name.removesuffix(ending) if ending else None), path
