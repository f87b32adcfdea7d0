"""What nnU-Net's planners know of a data set, and the reader of images that nnU-Net would take."""

from dataclasses import dataclass, field
from typing import Any, Literal

from hemoseg.errors import InputError
from hemoseg.plan import Intensity
from hemoseg.types import FloatZYX, IntZYX

READERS = {
    ".png": "NaturalImage2DIO",
    ".bmp": "NaturalImage2DIO",
    ".nii.gz": "SimpleITKIO",
    ".nrrd": "SimpleITKIO",
    ".mha": "SimpleITKIO",
    ".gipl": "SimpleITKIO",
    ".tiff": "Tiff3DIO",
    ".nii": "NibabelIO",
}
"""nnU-Net's class that reads files of an ending. It tries some on the first image; `.tif` alone needs that."""
READER_NAMES = frozenset({*READERS.values(), "NibabelIOWithReorient", "SimpleITKIOWithReorient", "BaseReaderWriter"})
"""Classes that `overwrite_image_reader_writer` can name; nnU-Net passes over any other name."""
TURNING_READERS = ("NibabelIOWithReorient", "SimpleITKIOWithReorient")
"""Those of them that turn the axes of an image to RAS, and those of the mask back."""
FLAT_SPACING_MM = 999.0
"""Spacing along z that nnU-Net gives a 2-D image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """A data set as nnU-Net's planners see it: dataset.json and dataset_fingerprint.json."""

    dataset_name: str
    """Name of its folder."""
    channel_names: tuple[str, ...]
    """Names of the image channels, in the order of dataset.json; they decide normalization."""
    label_count: int
    """Entries of `labels` in dataset.json: background, regions and `ignore` count."""
    training_cases: int | float
    """`numTraining` of dataset.json; nnU-Net reckons with whatever number stands there."""
    file_ending: str
    """Ending of the image files."""
    reader: str | None = None
    """Class that dataset.json says images are to be read with; None leaves it to nnU-Net."""
    spacings_mm: tuple[FloatZYX, ...]
    """Spacing of each case along the axes of its array, as stored."""
    shapes: tuple[IntZYX | FloatZYX, ...]
    """Voxels of each case after the crop to what is not 0."""
    relative_size: float
    """Median over the cases of the share of voxels that the crop left."""
    intensities: tuple[Intensity | None, ...]
    """Foreground intensities of each channel; None where they are not known."""
    said_intensities: Any = field(default=None, compare=False)
    """What dataset_fingerprint.json says of them, which plans.json repeats to the letter; of no meaning without it."""
    is_from_files: bool = field(default=False, compare=False)
    """Whether the facts are those of nnU-Net's files, which are planned with as nnU-Net does, gaps included."""


def orientation_by(reader: str) -> Literal["as-stored", "ras"]:
    """How axes lie in the arrays that a reader makes."""
    return "ras" if reader in TURNING_READERS else "as-stored"


def reader_of(facts: DatasetFacts) -> str:
    """nnU-Net's class that reads the images, found without opening any.

    nnU-Net takes the first class that supports the ending and opens the first image. Only for `.tif` do two come
    into question, one for 2-D images and one for stacks; the fingerprint tells which it was.

    Raises:
        InputError: nnU-Net has no reader for the ending.
    """
    if facts.reader is not None and facts.reader in READER_NAMES:
        return facts.reader
    ending = facts.file_ending.lower()
    if ending == ".tif":
        flat = facts.shapes[0][0] == 1 and facts.spacings_mm[0][0] == FLAT_SPACING_MM
        return "NaturalImage2DIO" if flat else "Tiff3DIO"
    if ending not in READERS:
        raise InputError(
            f"file_ending {facts.file_ending!r}",
            where=f"{facts.dataset_name}/dataset.json",
            expected=f"an ending that nnU-Net reads: {', '.join(sorted([*READERS, '.tif']))}",
            remedy="convert the images, or name a reader of nnU-Net in overwrite_image_reader_writer",
        )
    return READERS[ending]
