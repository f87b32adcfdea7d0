"""INSTANCE 2022.

    SOURCE/train_2/            or train/, or these two folders directly in SOURCE
      data/001.nii.gz          one scan per patient
      label/001.nii.gz         0 background, 1 hemorrhage of any kind

Source: the organizers' repository, github.com/PerceptionComputingLab/INSTANCE2022.
"""

from hemoseg.datasets.importers.classes import HEMORRHAGE, annotated, numbering
from hemoseg.datasets.importers.core import ImportRequest, SourceSet
from hemoseg.datasets.importers.pairs import paired_cases, set_of
from hemoseg.datasets.importers.published import INSTANCE22


def discover_instance22(request: ImportRequest) -> SourceSet:
    """The 100 training cases.

    Raises:
        InputError: the folder has another layout, or scans and masks do not pair.
    """
    root = request.source
    folder = next((root / name for name in ("train_2", "train") if (root / name).is_dir()), root)
    classes = (HEMORRHAGE,)
    cases = paired_cases(
        folder / "data",
        folder / "label",
        prefix="instance22_",
        numbers=numbering({1: HEMORRHAGE}, classes),
        annotates=annotated(classes),
    )
    return set_of(INSTANCE22, classes, cases, where=root)
