"""What the label map of one case tells, alone and over its image. Pure: facts in, findings out."""

from collections.abc import Iterator

from hemoseg.datasets.doctor.examine import CaseFacts
from hemoseg.datasets.doctor.finding import Finding
from hemoseg.datasets.doctor.judge_image import shows_brain
from hemoseg.datasets.doctor.label import AIR_BELOW_HU, BONE_ABOVE_HU, LabelFacts
from hemoseg.datasets.sources import ANY, CaseNotes
from hemoseg.labels import LabelTable

MASK = 255
"""What many programs write for inside."""
AIR_SHARE = 0.1
"""Share of a class in air from which it is told: a rim of partial volume stays below."""
BONE_SHARE = 0.25
"""Share of a class in bone: a bleed along the skull has a rim of partial volume, too."""
FEWEST = 8
"""Voxels of a class from which shares mean something."""
OWN_BLOOD, TURNED_BLOOD = 0.3, 0.55
"""Share of acute blood under a label that is nowhere near it at most, and under the right one at least."""
FEWEST_TURNED = 20
"""Bleeding voxels from which a turn is told."""


def judge_label(
    case: CaseFacts, table: LabelTable | None, notes: CaseNotes | None, *, is_hu: bool
) -> Iterator[Finding]:
    """Findings on the label of a case.

    Args:
        case: its facts.
        table: the classes; None if they are not known.
        notes: what hemoseg.json says of the case; None without.
        is_hu: whether the image's numbers are HU, so that what lies under the label means something.
    """
    if case.fractions:
        yield Finding(code="label-fractions", cases=(case.name,), found=case.fractions)
    if case.label is None or table is None:
        return
    strange = [value for value in case.label.values if not 0 <= value < table.end]
    if strange:
        is_mask = strange == [MASK] and set(case.label.values) <= {0, MASK}
        texts = ", ".join(map(str, strange[:8]))
        found = "values 0 and 255" if is_mask else f"values {texts}; known are 0 to {table.end - 1}"
        yield Finding(code="label-255" if is_mask else "label-values", cases=(case.name,), found=found)
        return
    if notes is not None:
        yield from _against_notes(case, case.label, table, notes)
    if not case.label.classes:
        if notes is None or notes.annotates:
            yield Finding(code="label-empty", cases=(case.name,), found="no foreground voxel")
        return
    if is_hu:
        yield from _places(case, case.label)
    if case.label.islands:
        found = f"single voxels: {len(case.label.islands)}"
        yield Finding(
            code="label-islands", cases=(case.name,), found=found, slices=tuple(sorted(set(case.label.islands)))
        )


def _places(case: CaseFacts, label: LabelFacts) -> Iterator[Finding]:
    """Findings on what lies under the label."""
    middle = label.slices[len(label.slices) // 2 : len(label.slices) // 2 + 1]
    for name, part in label.classes.items():
        for code, voxels, least, text in (
            ("label-in-air", part.air, AIR_SHARE, f"below {AIR_BELOW_HU:g} HU or clipped from below"),
            ("label-in-bone", part.bone, BONE_SHARE, f"above {BONE_ABOVE_HU:g} HU or clipped from above"),
        ):
            if part.voxels >= FEWEST and voxels > least * part.voxels:
                found = f"{100 * voxels / part.voxels:.0f} % of {name} {text}"
                yield Finding(code=code, cases=(case.name,), found=found, slices=middle)
    if label.padding:
        found = f"{label.padding:,} labeled voxels are padding"
        yield Finding(code="label-in-padding", cases=(case.name,), found=found, slices=middle)
    own, turned = 100 * label.blood_share, 100 * label.turned_share
    can_tell = case.image is not None and shows_brain(case.image)
    many = sum(part.voxels for part in label.classes.values()) >= FEWEST_TURNED
    if many and can_tell and label.blood_share <= OWN_BLOOD and label.turned_share >= TURNED_BLOOD:
        found = f"acute blood under {own:.0f} % of the label, under {turned:.0f} % of it with {label.turn}"
        yield Finding(code="label-mirrored", cases=(case.name,), found=found, slices=middle)


def _against_notes(case: CaseFacts, label: LabelFacts, table: LabelTable, notes: CaseNotes) -> Iterator[Finding]:
    """Where the label contradicts hemoseg.json."""
    texts = []
    annotated = {*notes.annotates, *(table.bleeding if ANY in notes.annotates else ())}
    surplus = sorted(set(label.classes) - annotated)
    if surplus:
        texts.append(f"the label holds {', '.join(surplus)}, which it is said not to annotate")
    count = case.label_file.shape[0] if case.label_file is not None else 0
    beyond = [k for k in (*notes.ignored_slices, *notes.filled_slices) if k >= count]
    if beyond:
        texts.append(f"slice {beyond[0]} of {count} is named")
    full = set(label.full_slices.get(table.ignore, ())) if table.ignore is not None else set()
    labeled = sorted(set(notes.ignored_slices) - full - set(beyond))
    if labeled:
        texts.append(f"slice {labeled[0]} is said to be ignored and is not")
    for text in texts:
        yield Finding(code="record-differs", cases=(case.name,), found=text)
