"""Fingerprints for tests of the planners."""

from collections.abc import Sequence

from hemoseg.planning import CaseFacts, Fingerprint


def case_facts(
    *,
    name: str = "a",
    spacing_mm: tuple[float, float, float] = (5.0, 0.94, 0.94),
    head: tuple[int, int, int] = (30, 200, 176),
    hu: tuple[float, float] = (-1024.0, 3071.0),
    ml: float = 10.0,
    **changes: object,
) -> CaseFacts:
    """A case that holds this many milliliters of hemorrhage."""
    values: dict[str, object] = {
        "name": name,
        "patient": name,
        "source_sha256": "0",
        "shape": head,
        "spacing_mm": spacing_mm,
        "slice_interval_mm": (spacing_mm[0],) * 3,
        "stored_shape": head,
        "stored_spacing_mm": spacing_mm,
        "nonzero_shape": head,
        "nonzero_share": 1.0,
        "head_box": tuple((0, size) for size in head),
        "head_shape": head,
        "hu_min": hu[0],
        "hu_max": hu[1],
        "brain_mode_hu": 30.0,
        "class_ml": {"hemorrhage": ml},
        "class_mean_hu": {"hemorrhage": 55.0} if ml else {},
        "lesions_ml": {"hemorrhage": (ml,) if ml else ()},
        "warnings": (),
    }
    return CaseFacts.model_validate(values | changes)


def make_fingerprint(cases: Sequence[CaseFacts], **changes: object) -> Fingerprint:
    """A data set of these cases, each of another patient, with hemorrhage as its only class."""
    named = [case.model_copy(update={"name": f"case{i}", "patient": f"patient{i}"}) for i, case in enumerate(cases)]
    values: dict[str, object] = {
        "dataset": "d",
        "dataset_name": "D",
        "digest": "0",
        "channel_names": ("CT",),
        "file_ending": ".nii.gz",
        "labels": ("background", "hemorrhage"),
        "cases": tuple(named),
        "intensity": (None,),
        "intensity_v1": (None,),
    }
    return Fingerprint.model_validate(values | changes)
