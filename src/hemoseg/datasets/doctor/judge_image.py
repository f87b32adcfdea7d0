"""What the numbers and slices of one image tell. Pure: facts in, findings out."""

from collections.abc import Iterator

from hemoseg.anatomy import AIR_HU
from hemoseg.datasets.doctor.examine import CaseFacts
from hemoseg.datasets.doctor.finding import Finding
from hemoseg.datasets.doctor.image import WRAPPED_HU, ImageFacts
from hemoseg.datasets.doctor.stack import StackFacts
from hemoseg.io.hu import CLIPPED_ABOVE_HU, ROUNDING_HU, find_doubt

PLAUSIBLE_BRAIN_HU = (15.0, 50.0)
"""White matter has 20 to 30 HU, gray matter 37 to 45; some slack for old brains, edema and calibration."""
WRAPPED_SHARE = 0.05
"""No head has that much metal; wrapped air fills a third of an image and more."""
RAISED_SHARE = 0.02
"""No head has that much bone within 75 HU."""
ZERO_SHARE = 0.02
"""Exact zeros beyond those that noise explains."""
COARSE_HU = 1.5
"""Steps above this are no whole numbers."""
FIELD_SHARE = 0.05
"""Padding that changes by this share of a slice from one slice to the next is another field of view."""
SWAP_GAIN = 0.2
"""Exchanging two slices of a good scan wins half of this at most, and hardly anything as a rule."""
BLOCKS_GAIN = 0.4
"""Exchanging two blocks of slices of a good scan wins nothing in real heads, half of this in simulated ones."""


def judge_image(
    case: CaseFacts, *, bounds_hu: tuple[float, float] | None, filled: frozenset[int] = frozenset()
) -> Iterator[Finding]:
    """Findings on the image of a case.

    Args:
        case: its facts.
        bounds_hu: bounds of pseudo-HU, as hemoseg.json tells them: what is known of them is no finding. None for HU.
        filled: slices, as stored, that the importer filled on request: they tell nothing.
    """
    if case.image is None:
        return
    problem = find_problem(case.image, bounds_hu)
    if problem is not None:
        yield Finding(code=problem[0], cases=(case.name,), found=problem[1])
        return
    for code, found in _doubts(case.image, bounds_hu):
        yield Finding(code=code, cases=(case.name,), found=found)
    if case.stack is not None:
        yield from _slices(case, case.stack, filled)


def find_problem(image: ImageFacts, bounds_hu: tuple[float, float] | None) -> tuple[str, str] | None:
    """Code and text of why the numbers are no HU; the first reason only, as the others follow from it.

    Args:
        image: the facts.
        bounds_hu: bounds of pseudo-HU; None for HU.
    """
    if image.not_finite:
        return "not-finite", f"{image.not_finite:,} voxels are NaN or infinite"
    if image.low == image.high:
        return "constant", f"the value {image.low:g} in every voxel"
    found = f"values from {image.low:g} to {image.high:g}"
    if bounds_hu is not None:
        low, high = bounds_hu
        fits = low - ROUNDING_HU <= image.low and image.high <= high + ROUNDING_HU
        return None if fits else ("not-hu", f"{found}, though hemoseg.json says {low:g} to {high:g}")
    for share, (first, last) in zip(image.wrapped_shares, WRAPPED_HU, strict=True):
        if share > WRAPPED_SHARE and image.air_share < WRAPPED_SHARE:
            return "wraparound", f"{100 * share:.0f} % of voxels from {first} to {last}, hardly any below -200"
    if image.raised_share > RAISED_SHARE and image.low >= CLIPPED_ABOVE_HU:
        return "offset", f"{found}, {100 * image.raised_share:.0f} % of voxels just above 1024"
    doubt = find_doubt(image.low, image.high, lambda: image.soft_share)
    return None if doubt is None else ("not-hu", f"{doubt.found}: {doubt.guess.split(': ')[0]}")


def shows_brain(image: ImageFacts) -> bool:
    """Whether soft tissue has the HU of a brain, so that blood can be told from it."""
    low, high = PLAUSIBLE_BRAIN_HU
    return image.tissue_mode_hu is not None and low <= image.tissue_mode_hu <= high


def _doubts(image: ImageFacts, bounds_hu: tuple[float, float] | None) -> Iterator[tuple[str, str]]:
    """Codes and texts on numbers that can be used."""
    is_known = bounds_hu is not None and image.low <= bounds_hu[0] + ROUNDING_HU
    if image.low > CLIPPED_ABOVE_HU and not is_known:
        text = f"HU are clipped to [{image.low:g}, {image.high:g}]: air, and perhaps fat and bone, were cut off"
        yield "clipped", text
    if bounds_hu is None:
        if image.zero_share > ZERO_SHARE:
            yield "zero-fill", f"{100 * image.zero_share:.0f} % of voxels are exactly 0"
        if image.step_hu > COARSE_HU:
            yield "coarse-values", f"steps of {image.step_hu:g} HU from 0 to 80 HU"
    if image.padding:
        yield "padding", f"{image.padding:,} voxels below {AIR_HU:g} HU (lowest {image.low:g})"
    if image.tissue_mode_hu is not None and not shows_brain(image):
        yield "brain-hu", f"commonest HU of soft tissue {image.tissue_mode_hu:g}"


def _slices(case: CaseFacts, stack: StackFacts, filled: frozenset[int]) -> Iterator[Finding]:
    """Findings on the order of slices; those that were filled on request are left out."""
    if not stack.blank:
        yield from _order(case, stack, filled)
    if stack.padding_change > FIELD_SHARE:
        (at,) = case.stored((stack.padding_slice,))
        found = f"padding changes by {100 * stack.padding_change:.0f} % of a slice at slice {at}"
        yield Finding(code="field-changes", cases=(case.name,), found=found, slices=(at,))
    pairs = [pair for k in stack.repeated if not filled & set(pair := case.stored((k - 1, k)))]
    for code, numbers, text in (
        ("slice-repeated", {k for pair in pairs for k in pair}, "equal to a neighbor"),
        ("slice-blank", set(case.stored(stack.blank)) - filled, "blank inside the head"),
    ):
        if numbers:
            shown = tuple(sorted(numbers))
            found = f"slices {text}: {', '.join(map(str, shown[:8]))}"
            yield Finding(code=code, cases=(case.name,), found=found, slices=shown)


def _order(case: CaseFacts, stack: StackFacts, filled: frozenset[int]) -> Iterator[Finding]:
    """The finding on slices that another order fits better: two of them, else two blocks."""
    first, second, end = stack.blocks
    swap, ends = case.stored(stack.swap), case.stored((first, second - 1, second, end - 1))
    if stack.swap_gain > SWAP_GAIN and not filled & set(swap):
        gain, shown = stack.swap_gain, sorted(swap)
        what = f"slices {shown[0]} and {shown[1]}"
    elif stack.blocks_gain > BLOCKS_GAIN and not filled & set(ends):
        gain, shown = stack.blocks_gain, sorted(ends)
        what = f"slices {shown[0]} to {shown[1]} and {shown[2]} to {shown[3]}"
    else:
        return
    found = f"{what} exchanged would differ {100 * gain:.0f} % less from their neighbors"
    yield Finding(code="slices-shuffled", cases=(case.name,), found=found, slices=tuple(dict.fromkeys(shown)))
