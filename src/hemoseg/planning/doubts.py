"""What makes a plan less sure than usual."""

from collections.abc import Sequence

from hemoseg.datasets import pseudo_hu_text
from hemoseg.plan import Window
from hemoseg.planning.fingerprint import CLIPPED_ABOVE_HU, Fingerprint
from hemoseg.windows import BLOOD_HU, is_printed_pair, window_doubt

FEW_PATIENTS = 20
"""Below this, five folds hold out fewer than four patients each."""
FEW_CASES = 10
"""Cases that a class should be present in: two for each of five folds."""
SMALL_ML = 1.0
"""Lesions below are small: a ball of 12 mm."""
THICK_MM = 5.0
"""Slices from here up: a lesion of 1 ml, a ball of 12 mm, lies in two or three of them."""
SPACING_RATIO = 2.0
"""Spacings whose extremes differ by more than this are called heterogeneous: nnU-Net's topology changes there."""
UNEVEN_RATIO = 1.5
"""A case whose slices stand for thicknesses that differ by more than this has gaps or two protocols."""
BRAIN_HU = (20.0, 45.0)
"""Most frequent HU of normal brain lies here; elsewhere HU are not calibrated, or the tissue is not brain."""
CLOSE_TO_LIMIT = 0.9
"""Share of the memory limit beyond which the estimate, good to 20 %, may not be enough."""


def data_doubts(fingerprint: Fingerprint) -> tuple[str, ...]:
    """Doubts about the data set: its size, its classes, what is ignored, its slices, its HU."""
    return (
        *_size_doubts(fingerprint),
        *_class_doubts(fingerprint),
        *_ignore_doubts(fingerprint),
        *_spacing_doubts(fingerprint),
        *_hu_doubts(fingerprint),
    )


def foreground_doubts(fingerprint: Fingerprint) -> tuple[str, ...]:
    """A doubt about foreground intensities, for plans that scale by them: nnU-Net counts ignored voxels in."""
    if not any(case.ignored_share for case in fingerprint.cases):
        return ()
    return ("nnU-Net takes ignored voxels for foreground: CT is scaled by intensities that are not of labels alone",)


def window_doubts(windows: Sequence[Window], held_hu: tuple[float, float] | None) -> tuple[str, ...]:
    """Doubts about the windows.

    Args:
        windows: those of all channels; what one hides another may show. The pair that the paper prints is told of in
            any company.
        held_hu: range that clipped data share, or the bounds of pseudo-HU; None if all data hold true HU.
    """
    alone = all(window_doubt(window) is not None for window in windows)
    told = [window for window in windows if alone or is_printed_pair(window)]
    doubts = [text for window in told if (text := window_doubt(window, alone=alone)) is not None]
    if held_hu is not None:
        low, high = held_hu
        doubts += [
            f"window {window.name} [{window.low_hu:g}, {window.high_hu:g}] HU reaches beyond [{low:g}, {high:g}] HU, "
            "all that clipped cases hold"
            for window in windows
            if window.low_hu < low or window.high_hu > high
        ]
    return tuple(doubts)


def size_doubts(needed_mb: float, memory_gb: float | None, *, device: str, is_long_enough: bool) -> tuple[str, ...]:
    """Doubts about memory and time.

    Args:
        needed_mb: estimated peak of a training step.
        memory_gb: the limit; None where there is none.
        device: where networks are trained.
        is_long_enough: whether there are enough optimizer steps.
    """
    doubts = []
    if memory_gb is not None and needed_mb > CLOSE_TO_LIMIT * 1000 * memory_gb:
        place = "beyond" if needed_mb > 1000 * memory_gb else "close to"
        doubts.append(
            f"a training step on a CPU is estimated to need {needed_mb / 1000:.2f} GB, {place} {memory_gb:g} GB; "
            "estimates are good to 20 %"
        )
    if device != "cpu":
        doubts.append(f"memory is estimated for a CPU; on {device} it differs")
    if not is_long_enough:
        doubts.append("too few optimizer steps for a network that can be relied on")
    return tuple(doubts)


def budget_doubts(
    iterations: int, *, budget_s: float | None, cost_s: float | None, wanted: int, wanted_by: str
) -> tuple[str, ...]:
    """Doubts about what a budget of time pays for.

    Args:
        iterations: optimizer steps of each network and fold that it pays for.
        budget_s: the budget; None if there is none.
        cost_s: seconds of one step of each network and fold together; None if they were not timed.
        wanted: steps that there should be.
        wanted_by: whose number that is, to follow it.
    """
    if budget_s is None or cost_s is None:
        return ()
    doubts = []
    if iterations < wanted:
        steps, share = _count(iterations, "optimizer step"), 100 * iterations / wanted
        doubts.append(
            f"{budget_s:g} s pay for {steps} of each network and fold, {share:.2g} % of the {wanted} {wanted_by}"
        )
    if cost_s > budget_s:
        doubts.append(
            f"the plan exceeds the budget of {budget_s:g} s: one optimizer step of each network and fold and its "
            f"validation take {cost_s:.0f} s"
        )
    return tuple(doubts)


def _size_doubts(fingerprint: Fingerprint) -> list[str]:
    patients = len({case.patient for case in fingerprint.cases})
    if patients >= FEW_PATIENTS:
        return []
    return [f"only {_count(patients, 'patient')}: cross-validation will be uncertain"]


def _class_doubts(fingerprint: Fingerprint) -> list[str]:
    doubts = []
    for name in fingerprint.labels[1:]:
        count = sum(case.class_ml.get(name, 0.0) > 0 for case in fingerprint.cases)
        if count == 0:
            doubts.append(f"{name} is in no case: it cannot be learned")
        elif count < FEW_CASES:
            doubts.append(f"{name} is in {_count(count, 'case')} only")
        small = [sum(0 < ml < SMALL_ML for ml in case.lesions_ml.get(name, ())) for case in fingerprint.cases]
        holding = sum(number > 0 for number in small)
        if 0 < holding < FEW_CASES <= count:
            doubts.append(f"{name}: lesions under {SMALL_ML:g} ml are in {_count(holding, 'case')} only")
    return doubts


def _ignore_doubts(fingerprint: Fingerprint) -> list[str]:
    shares = [case.ignored_share for case in fingerprint.cases if case.ignored_share]
    if not shares:
        return []
    part = f"{sum(shares) / len(fingerprint.cases):.2g}"
    doubts = [
        f"{_count(len(shares), 'case')} with ignored voxels, a share of {part} of a mean case: no reference there"
    ]
    whole = sum(share == 1 for share in shares)
    return [*doubts, f"{_count(whole, 'case')} ignored as a whole: nothing is learned from it"] if whole else doubts


def _spacing_doubts(fingerprint: Fingerprint) -> list[str]:
    doubts = []
    for axis, place in enumerate(("between slices", "along y", "along x")):
        values = [case.spacing_mm[axis] for case in fingerprint.cases]
        low, high = min(values), max(values)
        if high > SPACING_RATIO * low:
            doubts.append(f"spacing {place} ranges from {low:g} to {high:g} mm: one grid suits not all cases")
    uneven = sum(case.slice_interval_mm[2] > UNEVEN_RATIO * case.slice_interval_mm[0] for case in fingerprint.cases)
    if uneven:
        doubts.append(f"slices are unevenly spaced in {_count(uneven, 'case')}: one grid per case is an approximation")
    thickness = fingerprint.spacing_mm[0]
    if thickness >= THICK_MM:
        doubts.append(f"slices of {thickness:g} mm: a lesion of 1 ml lies in two or three, smaller ones in one")
    return doubts


def _hu_doubts(fingerprint: Fingerprint) -> list[str]:
    doubts = []
    low, high = BRAIN_HU
    modes = [case.brain_mode_hu for case in fingerprint.cases if case.brain_mode_hu is not None]
    odd = sum(not low <= mode <= high for mode in modes)
    if odd:
        doubts.append(f"brain is most often outside {low:g} to {high:g} HU in {_count(odd, 'case')}: HU may be off")
    if len(modes) < len(fingerprint.cases):
        count = _count(len(fingerprint.cases) - len(modes), "case")
        doubts.append(f"no peak of brain tissue among the HU of {count}")
    held = fingerprint.held_hu
    if fingerprint.pseudo_hu is not None:
        doubts.append(f"the data are {pseudo_hu_text(fingerprint.pseudo_hu)}")
    elif held is not None:
        count = _count(sum(case.hu_min > CLIPPED_ABOVE_HU for case in fingerprint.cases), "case")
        doubts.append(f"{count} clipped to [{held[0]:g}, {held[1]:g}] HU: what lies beyond is lost")
    if held is not None and (held[1] < BLOOD_HU[1] or held[0] > BLOOD_HU[0]):
        doubts.append(f"the clipped range cuts into {BLOOD_HU[0]:g} to {BLOOD_HU[1]:g} HU of acute blood")
    return doubts


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
