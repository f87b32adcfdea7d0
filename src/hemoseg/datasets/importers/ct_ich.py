"""PhysioNet CT-ICH 1.3.1: volumes. Versions 1.0 to 1.2, which are pictures, are read by `ct_ich_pictures`.

    SOURCE/
      ct_scans/NNN.nii           HU
      masks/NNN.nii              0 background, 1 or 255 hemorrhage of any kind
      hemorrhage_diagnosis_raw_ct.csv

Row k of a patient in the table belongs to slice k of the volume, as in the authors' own splitting script.

Source: physionet.org/content/ct-ich; M. D. Hssayeni et al., Data 5(1):14 (2020).
"""

from pathlib import Path

from hemoseg.datasets.importers.classes import HEMORRHAGE, annotated, numbering
from hemoseg.datasets.importers.core import (
    ImportRequest,
    NiftiScan,
    SourceCase,
    SourceSet,
    check_names,
    common_ending,
    nifti_files,
)
from hemoseg.datasets.importers.ct_ich_pictures import PICTURES, PREFIX, discover_ct_ich_pictures
from hemoseg.datasets.importers.published import CT_ICH_VOLUMES
from hemoseg.datasets.importers.slice_table import SliceTable, read_slice_table
from hemoseg.datasets.index import shorten
from hemoseg.errors import InputError

TABLES = ("hemorrhage_diagnosis.csv", "hemorrhage_diagnosis_raw_ct.csv")
"""Names of the slice table: of the pictures, and of the volumes."""
VOLUMES = "ct_scans"


def discover_ct_ich(request: ImportRequest) -> SourceSet:
    """The cases of either layout.

    Raises:
        InputError: neither layout, or a table, names or slices that do not fit.
    """
    root = request.source
    path = next((root / name for name in TABLES if (root / name).is_file()), None)
    if path is None or not any((root / name).is_dir() for name in (PICTURES, VOLUMES)):
        raise InputError(
            "no CT-ICH",
            where=root,
            expected=f"{PICTURES}/ and {TABLES[0]} (1.0 to 1.2), or {VOLUMES}/, masks/ and {TABLES[1]} (1.3.1)",
            remedy="give the folder as PhysioNet's archive unpacks",
        )
    table = read_slice_table(path)
    if (root / PICTURES).is_dir():
        return discover_ct_ich_pictures(request, table)
    return _volumes(root, table)


def _volumes(root: Path, table: SliceTable) -> SourceSet:
    scans, masks = nifti_files(root / VOLUMES), nifti_files(root / "masks")
    strange = sorted(masks.keys() - scans.keys()) or [stem for stem in scans if not stem.isdecimal()]
    if strange:
        raise InputError(
            f"{len(strange)} masks without a scan, or names that are no numbers: {shorten(strange)}",
            where=root,
            expected=f"{VOLUMES}/NNN.nii and masks/NNN.nii with the same patient numbers",
            remedy="complete the download, or move these files away",
        )
    classes = (HEMORRHAGE,)
    numbers = numbering({1: HEMORRHAGE, 255: HEMORRHAGE}, classes)
    cases = tuple(
        SourceCase(
            name=PREFIX + stem,
            patient=PREFIX + stem,
            scan=NiftiScan(image=path, mask=masks.get(stem)),
            numbers=numbers,
            annotates=annotated(classes),
            seen=table.of(int(stem), range(1, max(table.seen.get(int(stem), {0: ()})) + 1)),
        )
        for stem, path in scans.items()
    )
    check_names(cases, where=root)
    unseen = [case.name for case in cases if case.seen is None]
    doubts = (f"the table has no row of {len(unseen)} patients: {shorten(unseen)}",) if unseen else ()
    return SourceSet(
        sources=(CT_ICH_VOLUMES,),
        classes=classes,
        ending=common_ending(cases),
        cases=cases,
        warnings=(*table.warnings, *doubts),
    )
