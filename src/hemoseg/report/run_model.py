"""`report.json` of a run: all that its page says, as values."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hemoseg.datasets import Source
from hemoseg.models import Calibration, Selection
from hemoseg.report.findings import RESEARCH_USE_ONLY

_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
Interval = dict[str, Any]
"""A mean or share as metrics.json has it: `value`, `low`, `high`, `n`, and `note` where there is no value."""


class ClassFacts(BaseModel):
    """The lesions of a class in the data set's references."""

    model_config = _FROZEN

    cases: int
    """Cases that have any."""
    lesions: int
    """Lesions in all cases."""
    per_case: float
    """Median number in a case that has any."""
    percentiles_ml: tuple[float, float, float, float, float]
    """Smallest, 25th, 50th, 75th percentile and largest."""
    mean_hu: float | None
    """Median over these cases of the mean HU."""


class DataFacts(BaseModel):
    """The data set in numbers."""

    model_config = _FROZEN

    name: str
    """Name of the data set's folder."""
    cases: int
    """Scans."""
    patients: int
    """Whose they are."""
    empty_cases: int
    """Scans without any class."""
    ignored_cases: int
    """Scans with voxels that nobody labeled."""
    ranges: dict[str, tuple[float, float, float]]
    """{quantity with its unit: smallest, median and largest over cases}."""
    classes: dict[str, ClassFacts]
    """By class; those that no case has are left out."""
    pseudo_hu: tuple[float, float] | None
    """Bounds of HU that were rebuilt from windowed pictures; None for true HU."""
    sources: tuple[Source, ...]
    """Where the scans come from, with terms and what to cite; empty where nobody recorded it."""


class PlanRow(BaseModel):
    """A decision of the plan."""

    model_config = _FROZEN

    name: str
    """What was decided."""
    value: str
    """How."""
    reason: str
    """Why."""


class FoldPart(BaseModel):
    """What a fold holds out."""

    model_config = _FROZEN

    fold: int
    """Its number."""
    is_trained: bool
    """Whether a network was trained for it."""
    patients: int
    """Number of patients."""
    cases: int
    """Number of cases."""
    empty: int
    """Cases without any class."""
    with_class: dict[str, int]
    """{class: cases that hold it}."""
    by_volume: tuple[int, ...]
    """Cases in each quarter of the data set by volume, the smallest first."""


class CaseRow(BaseModel):
    """A held-out case."""

    model_config = _FROZEN

    case: str
    """Its name."""
    patient: str
    """Whose scan it is."""
    fold: int
    """The fold that held it out."""
    classes: dict[str, dict[str, float | str | None]]
    """{class: {metric: value}}; a metric without value is None, and `note` says why."""
    shown_as: str | None = None
    """`best`, `median` or `worst`, if its picture is on the page."""


class ScanBin(BaseModel):
    """Held-out scans whose reference holds between two volumes of a class."""

    model_config = _FROZEN

    from_ml: float
    """Lower end, which belongs to it, if above 0."""
    to_ml: float | None
    """Upper end, which does not; None for the last."""
    cases: int
    """Scans."""
    missed: int
    """Scans of these in which nothing of the class was predicted."""
    dice: Interval
    """Mean Dice."""


class Failures(BaseModel):
    """What goes wrong, by size and by place."""

    model_config = _FROZEN

    by_lesion_volume: dict[str, dict[str, Any]]
    """{class: lesions pooled as metrics.json has them}."""
    by_scan_volume: dict[str, tuple[ScanBin, ...]]
    """{class: bins of scans}; scans whose reference lacks the class are in none."""
    empty: dict[str, dict[str, int]]
    """{class: scans by which mask is empty: neither, both, reference, prediction}."""
    lesion_rule: str
    """How lesions are matched."""
    place_rule: str
    """How they are placed."""
    by_place: tuple[dict[str, Any], ...]
    """Rows of class, way of placing and place: recall, lesions missed and made up."""


class RunReport(BaseModel):
    """`report.json` of a run."""

    model_config = _FROZEN

    version: Literal[1] = 1
    """Schema version."""
    notice: str = RESEARCH_USE_ONLY
    """What it may be used for."""
    title: str
    """Title of the page."""
    folds: tuple[int, ...]
    """Folds that were trained."""
    train_cases: int
    """Scans trained on in these folds."""
    held_out_cases: int
    """Scans predicted by networks that never saw their patients."""
    warnings: tuple[str, ...]
    """What limits the result."""
    mean: dict[str, dict[str, Interval]]
    """{class: {metric: mean over held-out cases}}."""
    cases: tuple[CaseRow, ...]
    """The held-out cases."""
    calibration: Calibration
    """Intervals around volumes, and how often they held."""
    failures: Failures
    """Where it fails."""
    data: DataFacts
    """The data set."""
    splits: tuple[FoldPart, ...]
    """The folds."""
    plan: tuple[PlanRow, ...]
    """Decisions and reasons."""
    selection: Selection
    """Networks and rules that make the result, and what else was tried."""
    methods: str
    """How the model came about, in plain Markdown."""
    provenance: dict[str, Any]
    """Versions, hashes, settings."""
