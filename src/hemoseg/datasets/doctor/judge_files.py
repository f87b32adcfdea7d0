"""What the files of one case say about themselves and each other. Pure: facts in, findings out."""

from collections.abc import Callable, Iterator, Sequence

from hemoseg.datasets.doctor.examine import CaseFacts
from hemoseg.datasets.doctor.files import FileFacts
from hemoseg.datasets.doctor.finding import Finding
from hemoseg.datasets.read import TOLERANCE_MM
from hemoseg.geometry import Grid
from hemoseg.io.frame import FRAMES_DIFFER_MM, SHEAR_DEGREES, Frame

ROUNDING_MM = 1e-3
"""Frames closer than this are equal but for what float32 leaves."""
SQUARE_WITHIN = 1e-3
"""Pixels whose sides differ by this share are square but for rounding."""


def judge_files(case: CaseFacts) -> Iterator[Finding]:
    """Findings on the files of a case and on how they fit each other."""
    files = {"image": case.image_file, "label": case.label_file}
    yield from _problems(case.name, files)
    yield from _frames(case.name, {what: file.frame for what, file in files.items() if file and file.frame})
    for code, holds, text in (
        ("extra-axis", lambda file: file.extra_axes > 0, "a fourth axis of length 1"),
        ("surplus-bytes", lambda file: file.has_surplus, "more data than the header says"),
    ):
        yield from _in_files(case.name, files, code, holds, text)
    if case.label_file is not None and not case.label_file.is_plain and case.label is not None:
        found = "class numbers stored as floats or with a scale"
        yield Finding(code="label-float", cases=(case.name,), found=found)
    if case.image_file is not None and case.label_file is not None:
        yield from _pair(case.name, case.image_file, case.label_file)
    if case.grid is not None:
        yield from _pixels(case.name, case.grid)


def _problems(name: str, files: dict[str, FileFacts | None]) -> Iterator[Finding]:
    for what, file in files.items():
        if file is not None and file.problem is not None:
            code, text = file.problem
            yield Finding(code=code, cases=(name,), found=f"{what}: {text}")


def _frames(name: str, frames: dict[str, Frame]) -> Iterator[Finding]:
    """Doubts about where voxels lie; one finding for image and label if both have it."""
    doubts: tuple[tuple[str, Callable[[Frame], str]], ...] = (
        ("unit-not-mm", lambda frame: f"lengths in {frame.unit}" if frame.unit else ""),
        ("no-frame", lambda frame: "" if frame.has_place else "sform and qform codes are 0"),
        (
            "frames-differ",
            lambda frame: f"corners {frame.apart_mm:.1f} mm apart" if frame.apart_mm > FRAMES_DIFFER_MM else "",
        ),
        (
            "sheared",
            lambda frame: f"{frame.shear_degrees:.1f} degrees" if frame.shear_degrees > SHEAR_DEGREES else "",
        ),
        ("no-voxel-sizes", lambda frame: f"{frame.no_sizes} (x, y, z)" if frame.no_sizes else ""),
        ("negative-voxel-sizes", lambda frame: f"{frame.signed_sizes} (x, y, z)" if frame.signed_sizes else ""),
        ("voxel-sizes-differ", lambda frame: f"{frame.other_sizes} (x, y, z)" if frame.other_sizes else ""),
    )
    for code, tell in doubts:
        texts = {what: tell(frame) for what, frame in frames.items() if tell(frame)}
        if texts:
            found = f"{' and '.join(texts)}: {next(iter(texts.values()))}"
            yield Finding(code=code, cases=(name,), found=found)


def _in_files(
    name: str, files: dict[str, FileFacts | None], code: str, holds: Callable[[FileFacts], bool], text: str
) -> Iterator[Finding]:
    where = [what for what, file in files.items() if file is not None and holds(file)]
    if where:
        yield Finding(code=code, cases=(name,), found=f"{' and '.join(where)}: {text}")


def _pair(name: str, image: FileFacts, label: FileFacts) -> Iterator[Finding]:
    if not image.shape or not label.shape:
        return
    if image.shape != label.shape:
        found = f"label {_sizes(label.shape)}, image {_sizes(image.shape)} voxels (z, y, x)"
        yield Finding(code="shape-differs", cases=(name,), found=found)
        return
    if image.grid is None or label.grid is None:
        return
    apart_mm = label.grid.corner_distance_mm(image.grid)
    if apart_mm <= ROUNDING_MM:
        return
    if apart_mm <= TOLERANCE_MM:
        found = f"corners {apart_mm:.3g} mm apart; up to {TOLERANCE_MM:g} mm is taken as the same place"
        yield Finding(code="frame-rounding", cases=(name,), found=found)
        return
    spacings = [grid.rounded_spacing_mm for grid in (label.grid, image.grid)]
    far = max(abs(a - b) * n for a, b, n in zip(*spacings, image.shape, strict=True))
    if far > TOLERANCE_MM:
        text = ", ".join(f"{what} {_sizes(s)} mm" for what, s in zip(("label", "image"), spacings, strict=True))
        yield Finding(code="spacing-differs", cases=(name,), found=f"{text} (z, y, x)")
    else:
        found = f"corners of label and image {apart_mm:.1f} mm apart"
        yield Finding(code="place-differs", cases=(name,), found=found)


def _pixels(name: str, grid: Grid) -> Iterator[Finding]:
    turned = grid.reoriented(grid.canonical_orientation())
    y, x = turned.spacing_mm[1:]
    if abs(y - x) > SQUARE_WITHIN * max(x, y):
        yield Finding(code="pixels-not-square", cases=(name,), found=f"{y:.4g} x {x:.4g} mm (y, x)")


def _sizes(values: Sequence[float | int]) -> str:
    return " x ".join(f"{value:.6g}" for value in values)
