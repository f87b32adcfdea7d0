"""The report of a run that never was: small enough to look for every value."""

from hemoseg.models import Calibration, Candidate, Difference, Evidence, Selection, Trial, VolumeCalibration
from hemoseg.postprocess import MinimumVolume
from hemoseg.report import (
    CaseRow,
    ClassFacts,
    DataFacts,
    Failures,
    FoldPart,
    Overlay,
    PlanRow,
    RunPictures,
    RunReport,
    ScanBin,
)

METRICS = (
    "dice",
    "reference_ml",
    "volume_ml",
    "nsd_0.42mm",
    "nsd_1mm",
    "hd95_mm",
    "rvd",
    "volume_error_ml",
    "lesion_f1",
)
FOUND = {"value": 0.8123, "low": 0.7, "high": 0.9, "n": 16}
NOTHING = {"value": None, "low": None, "high": None, "n": 0}
RECALL = {"value": 0.5, "low": 0.1, "high": 0.9, "n": 2}
REPORT = RunReport(
    title="hemoseg run: cohort",
    folds=(0, 1),
    train_cases=64,
    held_out_cases=16,
    warnings=("hemorrhage labels are silver",),
    mean={"hemorrhage": {"dice": FOUND, "nsd_1mm": NOTHING}, "edema": {"dice": FOUND}},
    cases=(
        CaseRow(
            case="case_1",
            patient="p1",
            fold=1,
            classes={
                "hemorrhage": {"dice": 0.5, "volume_error_ml": -12.345},
                "edema": {"dice": None, "nsd_1mm": 0.5, "note": "empty"},
            },
            shown_as="best",
        ),
        CaseRow(case="case_2", patient="p2", fold=0, classes={"hemorrhage": {"dice": 0.25, "volume_error_ml": 0.0}}),
    ),
    calibration=Calibration(
        level=0.9,
        scans=16,
        patients=14,
        networks="of-folds",
        calibrated_on="16 held-out scans of 14 patients of cohort, folds 0, 1",
        classes={
            "hemorrhage": VolumeCalibration(
                kind="symmetric", low=-0.25, high=0.25, covered=0.9375, median_width_ml=5.4321
            ),
            "edema": VolumeCalibration(kind="symmetric", low=-1.5, high=1.5, covered=None, median_width_ml=20.0),
        },
        total=VolumeCalibration(kind="symmetric", low=-0.25, high=0.25, covered=0.9375, median_width_ml=5.4321),
    ),
    failures=Failures(
        by_lesion_volume={
            "hemorrhage": {
                "recall": RECALL,
                "recall_by_volume": [{"from_ml": 0.0, "to_ml": 0.1, "recall": RECALL}],
                "false_positives_per_scan": 0.25,
            }
        },
        by_scan_volume={"hemorrhage": (ScanBin(from_ml=1.0, to_ml=None, cases=3, missed=2, dice=FOUND),)},
        empty={"hemorrhage": {"neither": 3, "both": 4, "reference": 1, "prediction": 2}},
        lesion_rule="a lesion is a component",
        place_rule="a lesion lies where it lies",
        by_place=(
            {
                "class": "hemorrhage",
                "by": "side",
                "place": "left",
                "recall": RECALL,
                "missed": 1,
                "missed_ml": 0.75,
                "false_positives": 7,
                "false_ml": 2.5,
            },
        ),
    ),
    data=DataFacts(
        name="cohort",
        cases=80,
        patients=70,
        empty_cases=9,
        ignored_cases=2,
        ranges={"slice_thickness_mm": (2.5, 5.0, 7.5)},
        classes={
            "hemorrhage": ClassFacts(
                cases=71, lesions=90, per_case=1.0, percentiles_ml=(0.01, 1.0, 12.0, 30.0, 99.0), mean_hu=61.25
            )
        },
        pseudo_hu=(0.0, 120.0),
        sources=(),
    ),
    splits=(
        FoldPart(
            fold=0,
            is_trained=True,
            patients=14,
            cases=16,
            empty=2,
            with_class={"hemorrhage": 14},
            by_volume=(4, 4, 4, 4),
        ),
    ),
    plan=(PlanRow(name="spacing", value="5 x 1 x 1 mm", reason="median <of> the cases"),),
    selection=Selection(
        configurations=("2d",),
        folds={"2d": (0, 1)},
        mirror=True,
        reason="within noise of the best",
        evidence=Evidence(
            metric="mean Dice",
            rule="the simplest",
            postprocessing="volume",
            cases=16,
            patients=14,
            candidates=(
                Candidate(
                    configurations=("2d",),
                    networks=1,
                    score=0.75,
                    class_scores={"hemorrhage": 0.75},
                    short_of_best=Difference(value=0.0125, low=-0.05, high=0.0625),
                ),
            ),
            trials=(
                Trial(
                    rule=MinimumVolume(class_name="hemorrhage", ml=0.3),
                    before={"hemorrhage": 0.75},
                    after={"hemorrhage": 0.7},
                    gain=Difference(value=-0.05, low=None, high=None),
                    cases_better=3,
                    cases_worse=5,
                    adopted=False,
                ),
            ),
            sources_sha256="ab" * 32,
        ),
    ),
    methods="# Methods\n\nNetworks\nwere trained.\n\n- one reason",
    provenance={"seed": 3, "folds": [0, 1]},
)
PICTURES = RunPictures(
    data=b"data", overlays=[Overlay(case="case_1", caption="best: case_1", png=b"sheet")], curves=[("fold 0", b"curve")]
)


def case_row(name: str, dice: float | None, *, classes: tuple[str, ...] = ("hemorrhage",)) -> CaseRow:
    """A case with this Dice in each class, and other metrics that are always the same."""
    metrics: dict[str, float | str | None] = {"dice": dice, **dict.fromkeys(METRICS[1:], 12.5)}
    return CaseRow(case=name, patient=name, fold=0, classes=dict.fromkeys(classes, metrics))
