"""Sources of rules, and the making of a reason."""

from hemoseg.plan import Basis, Reason
from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.settings import Steps

OURS = "docs/explanation/planning.md"
NNUNET = "nnU-Net v2; Isensee et al. 2021, doi:10.1038/s41592-020-01008-z"
PAPER = "Liangwei, INSTANCE 2022 challenge report (team superembrace)"


def because(name: str, value: str, why: str, *, source: str = OURS, basis: Basis = "judgment") -> Reason:
    """One reason; where nothing else is said, a judgment of ours."""
    return Reason(name=name, value=value, why=why, source=source, basis=basis)


def spacing_text(spacing_mm: tuple[float | None, float, float]) -> str:
    """A spacing as text.

    Example:
        >>> spacing_text((None, 0.9, 0.9))
        'as scanned x 0.9 x 0.9 mm'
    """
    return " x ".join("as scanned" if value is None else f"{value:g}" for value in spacing_mm) + " mm"


def size_text(size: tuple[int, ...]) -> str:
    """Voxels as text.

    Example:
        >>> size_text((16, 96, 96))
        '16 x 96 x 96'
    """
    return " x ".join(map(str, size))


def recorded(fingerprint: Fingerprint) -> tuple[Reason, ...]:
    """What the data set says of its numbers and labels; nothing for true HU that are labeled everywhere."""
    reasons = []
    if fingerprint.pseudo_hu is not None:
        low, high = fingerprint.pseudo_hu
        why = "HU were rebuilt from windowed pictures"
        value = f"pseudo-HU [{low:g}, {high:g}]"
        reasons.append(because("intensity", value, why, source="hemoseg.json", basis="given"))
    if fingerprint.ignore is not None:
        why = "voxels of this number have no part in the loss and in figures, and no patch is put on them"
        reasons.append(because("ignore", str(fingerprint.ignore), why, source="dataset.json", basis="given"))
    return tuple(reasons)


def given_steps(steps: Steps) -> list[Reason]:
    """Reasons of the steps that the user asked for."""
    reasons = []
    if steps.windows:
        reasons.append(because("windows", ", ".join(steps.windows), "given", source="--window", basis="given"))
    if steps.pooling is not None:
        value = f"{steps.pooling.kind}, factor {steps.pooling.factor}"
        reasons.append(because("pooling", value, "given", source="--pool", basis="given"))
    if steps.slice_spacing_mm is not None:
        value = f"{steps.slice_spacing_mm:g} mm"
        reasons.append(because("slice_spacing_mm", value, "given", source="--slice-spacing", basis="given"))
    if steps.slab is not None:
        value = f"{steps.slab.train_range} range and {steps.slab.extend} slices beyond"
        reasons.append(because("slab", value, "given", source="--slab", basis="given"))
    return reasons
