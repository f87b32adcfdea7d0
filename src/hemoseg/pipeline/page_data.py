"""What the page of a run says of its data set and folds."""

from dataclasses import asdict
from statistics import median

from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.splits import fold_rows, named
from hemoseg.planning import Fingerprint
from hemoseg.report import ClassFacts, DataFacts, FoldPart


def data_facts(folder: RunFolder) -> DataFacts:
    """The data set of a run in numbers."""
    fingerprint = named(folder.fingerprint(), folder.settings())
    cases = fingerprint.cases
    return DataFacts(
        name=fingerprint.dataset_name,
        cases=len(cases),
        patients=len({case.patient for case in cases}),
        empty_cases=sum(not any(case.class_ml.values()) for case in cases),
        ignored_cases=sum(case.ignored_share > 0 for case in cases),
        ranges=_ranges(fingerprint),
        classes={name: _class_facts(fingerprint, name) for name in fingerprint.lesion_sizes},
        pseudo_hu=fingerprint.pseudo_hu,
        sources=fingerprint.sources,
    )


def fold_parts(folder: RunFolder) -> tuple[FoldPart, ...]:
    """What each fold of a run holds out."""
    trained = folder.settings().folds
    rows = enumerate(fold_rows(folder))
    return tuple(FoldPart(fold=fold, is_trained=fold in trained, **asdict(row)) for fold, row in rows)


def _ranges(fingerprint: Fingerprint) -> dict[str, tuple[float, float, float]]:
    """{quantity: smallest, median, largest over cases}."""
    cases = fingerprint.cases
    columns: dict[str, list[float]] = {
        "slices": [case.shape[0] for case in cases],
        "slice_thickness_mm": [case.slice_interval_mm[1] for case in cases],
        "pixel_mm": [case.spacing_mm[2] for case in cases],
        **{
            f"{name}_of_the_head_mm": [case.head_shape[axis] * case.spacing_mm[axis] for case in cases]
            for axis, name in enumerate(("height", "depth", "width"))
        },
        "lowest_hu": [case.hu_min for case in cases],
        "highest_hu": [case.hu_max for case in cases],
        "most_frequent_in_brain_hu": [case.brain_mode_hu for case in cases if case.brain_mode_hu is not None],
        "labeled_volume_ml": [case.labeled_ml for case in cases],
    }
    return {name: (min(values), float(median(values)), max(values)) for name, values in columns.items() if values}


def _class_facts(fingerprint: Fingerprint, name: str) -> ClassFacts:
    sizes = fingerprint.lesion_sizes[name]
    means = [case.class_mean_hu[name] for case in fingerprint.cases if name in case.class_mean_hu]
    return ClassFacts(
        cases=sizes.cases,
        lesions=sizes.count,
        per_case=sizes.per_case,
        percentiles_ml=sizes.percentiles_ml,
        mean_hu=median(means) if means else None,
    )
