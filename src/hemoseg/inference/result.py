"""The result of one scan after all networks ran: what of it is changed where they doubt, and what is said about it."""

from dataclasses import replace

from hemoseg.geometry import Volume
from hemoseg.inference.course import Course
from hemoseg.inference.findings import Prediction
from hemoseg.inference.panel import Average
from hemoseg.labels import LabelTable
from hemoseg.models import Calibration
from hemoseg.postprocess import FEWEST_VOTERS, low_vote, nothing_found, second_look
from hemoseg.segmentation import Segmentation

THICK_MM = 7.5
"""Slice interval beyond which a warning is due: no training data of usual head CT are thicker."""


def scan_doubts(volume: Volume, table: LabelTable) -> tuple[str, ...]:
    """What to say of a scan and of classes, whatever networks find."""
    found = list(table.warnings())
    if volume.grid.slice_interval_mm > THICK_MM:
        found.append(f"slices are {volume.grid.slice_interval_mm:.1f} mm apart; small bleeds fall between them")
    return tuple(found)


def with_intervals(
    result: Segmentation, calibration: Calibration | None, course: Course, *, average: Average, is_exact: bool
) -> Segmentation:
    """The result with intervals around its volumes, or with the reason why there are none.

    Args:
        result: the result.
        calibration: what is known of the model's errors; None for nothing.
        course: how the work on the scan went.
        average: what was averaged over networks and mirrored copies.
        is_exact: whether everything was as nnU-Net does it.
    """
    if calibration is None:
        return result
    reason = calibration.too_few
    if is_exact:
        reason = "volumes were calibrated without --exact"
    elif average != "logits" and course.members > 1:
        reason = "volumes were calibrated with logits averaged"
    elif not course.is_full:
        reason = "volumes were calibrated with all that the time budget left out"
    elif course.has_few_slices:
        reason = "volumes were calibrated on scans of more slices"
    if reason is not None:
        return replace(result, no_intervals=reason)
    return replace(result, intervals=calibration.intervals(result.volume_ml, result.hemorrhage_ml))


def after_votes(result: Segmentation, found: Prediction) -> Segmentation:
    """The result by the low-vote rule, where members do not agree; the same where nobody voted."""
    vote = found.vote
    if vote is None:
        return result
    if vote.members < FEWEST_VOTERS:
        words = f"no low vote: the time budget left {vote.members} of its members, and {FEWEST_VOTERS} are needed"
        return replace(result, warnings=(*result.warnings, words))
    if not vote.is_doubtful:
        return result
    assert found.probabilities is not None
    words = (
        f"low vote: of the voxels with a vote for blood only {100 * (vote.agreed or 0):.0f} % have those of half "
        f"of the {vote.members} members; the mask has blood where more than one votes for it"
    )
    return replace(
        result,
        labels=low_vote(result.labels, found.probabilities, vote, result.table),
        warnings=(*result.warnings, words),
        intervals=None,
        no_intervals="volumes were calibrated without the low-vote rule",
    )


def never_silent(result: Segmentation, found: Prediction, *, looks_again: bool) -> Segmentation:
    """The result, where its mask has no blood with words on how sure that is.

    Args:
        result: the result.
        found: what networks said before any rule.
        looks_again: whether such a mask shows what has a lower probability of blood.
    """
    table, doubt = result.table, found.doubt
    if not table.bleeding or result.hemorrhage_ml > 0:
        return result
    removed_ml = replace(result, labels=found.labels).hemorrhage_ml
    words = nothing_found(doubt, removed_ml=removed_ml)
    if not looks_again or doubt.lower_ml == 0:
        return replace(result, warnings=(*result.warnings, words))
    assert found.probabilities is not None
    return replace(
        result,
        labels=second_look(result.labels, found.probabilities, table),
        warnings=(*result.warnings, f"second look: no hemorrhage was segmented; {words}, and the mask shows it"),
        intervals=None,
        no_intervals="volumes were calibrated without a second look",
    )
