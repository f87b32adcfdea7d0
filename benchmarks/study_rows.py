"""The rows of the study: what each trains, and in what it differs from the others."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from hemoseg.plan import Channel, Plan, Pooling, Slab
from hemoseg.planning import Fingerprint
from hemoseg.settings import FOLDS, Settings, Steps

CV_STEPS = 2400
"""Optimizer steps of a fold of the cross-validation: 12 minutes of two quiet cores that gain by bf16, 25 with
AVX-512 in float32, 43 with AVX2."""
STUDY_STEPS = 500
"""Optimizer steps of a row of the study of windows and steps: 9 minutes of two quiet cores without bf16."""
RATE_STEPS = 800
"""Optimizer steps of a row that tries a learning rate."""
RATES = (0.01, 0.03)
"""Initial learning rates, with the momentum of the plan; 0.03 is the plan's own. Their patches are neither turned nor
zoomed."""
SEEDS = (0, 1)
"""Seeds of the window study, and of steps."""
PEER_STEPS = {0.25: 1420, 0.5: 820, 1.0: 216}
"""Steps of nnU-Net by its memory target in GB: 25 minutes of two quiet cores, as `study.py --time-peer` timed them, 0.5
GB with AVX-512, the others with AMX, where `CV_STEPS` of ours take less than half of that."""
FEW = 30
"""Training patients of the row that has as many as the report on INSTANCE 2022 had."""

Adapt = Callable[[Plan, Fingerprint], Plan]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: a training, the rule, or the peer; measured on the held-out cases of one fold."""

    name: str
    """Name of the row and of its files."""
    what: str
    """What it is, for the tables."""
    kind: Literal["train", "rule", "peer"] = "train"
    """Who does it: hemoseg, the threshold rule, or nnU-Net."""
    settings: Settings
    """Settings of the run, fold and seed included."""
    peer_gb: float = 0.0
    """Memory target that nnU-Net plans for, in its row."""
    against: str | None = None
    """The row that it is compared with case by case: of the same split, and other in one thing."""
    adapt: Adapt = field(default=lambda plan, _: plan)
    """What is changed in the plan that these settings give, where no setting can ask for it."""


def percentiles(plan: Plan, fingerprint: Fingerprint) -> Plan:
    """One channel normalized as nnU-Net does CT, in place of windows."""
    (intensity,) = fingerprint.intensity
    channel = Channel(name="CT", normalization="ct", intensity=intensity)
    preparation = plan.preparation.model_copy(update={"channels": (channel,), "windowed": "first"})
    return plan.model_copy(update={"preparation": preparation})


def _recipe(changes: dict[str, float]) -> Adapt:
    """Other values of the recipe."""

    def adapt(plan: Plan, _: Fingerprint) -> Plan:
        return plan.model_copy(update={"recipe": plan.recipe.model_copy(update=changes)})

    return adapt


def _run(fold: int, steps: int, *, seed: int = 0, windows: tuple[str, ...] = (), **rest: Any) -> Settings:
    steps_asked = Steps.model_validate({"windows": windows, **rest})
    return Settings(folds=(fold,), iterations=steps, seed=seed, steps=steps_asked)


def _window_rows(seed: int) -> list[Row]:
    default_name = f"window-default-seed-{seed}"
    windows = {
        "paper": ("paper",),
        "paper-swapped": ("paper-swapped",),
        "brain": ("brain",),
        "three": ("80/40", "40/40", "120/40"),
    }
    rows = [
        Row(
            name=f"window-{name}-seed-{seed}",
            what=f"window: {', '.join(chosen)}",
            settings=_run(0, STUDY_STEPS, seed=seed, windows=chosen),
            against=default_name,
        )
        for name, chosen in windows.items()
    ]
    default = _run(0, STUDY_STEPS, seed=seed)
    rows.append(
        Row(
            name=f"window-percentile-seed-{seed}",
            what="nnU-Net's percentile normalization",
            settings=default,
            against=default_name,
            adapt=percentiles,
        )
    )
    rows.append(Row(name=default_name, what="the default channels", settings=default))
    return rows


def _rate_rows() -> list[Row]:
    return [
        Row(
            name=f"rate-{value:g}-seed-0",
            what=f"initial learning rate {value:g}, no turning",
            settings=_run(0, RATE_STEPS),
            adapt=_recipe({"learning_rate": value, "turn_degrees": 0.0, "zoom": 1.0}),
        )
        for value in RATES
    ]


def _sampler_rows() -> list[Row]:
    """The sampler's shares one at a time, against the default's none."""
    shares = {"even-lesions": {"even_lesions": 0.5}, "hard-negatives": {"hard_negatives": 0.5}}
    return [
        Row(
            name=f"sampler-{name}",
            what=f"sampler: {name}, one half",
            settings=_run(0, STUDY_STEPS),
            against="window-default-seed-0",
            adapt=_recipe(changes),
        )
        for name, changes in shares.items()
    ]


def _step_rows(seed: int) -> list[Row]:
    """The report's other steps one at a time, against the three channels with the same seed."""
    three = ("80/40", "40/40", "120/40")
    steps: dict[str, dict[str, Any]] = {
        "pool-average-2": {"pooling": Pooling(kind="average", factor=2)},
        "pool-maximum-2": {"pooling": Pooling(kind="maximum", factor=2)},
        "pool-summed-area-2": {"pooling": Pooling(kind="summed-area", factor=2)},
        "pool-random-area-2": {"pooling": Pooling(kind="random-area", factor=2)},
        "pool-average-4": {"pooling": Pooling(kind="average", factor=4)},
        "slice-spacing-1": {"slice_spacing_mm": 1.0},
        "slab-1": {"slab": Slab(extend=1, train_range="label")},
    }
    return [
        Row(
            name=f"step-{name}" + (f"-seed-{seed}" if seed else ""),
            what=name,
            settings=_run(0, STUDY_STEPS, seed=seed, windows=three, **asked),
            against=f"window-three-seed-{seed}",
        )
        for name, asked in steps.items()
    ]


def make_rows() -> dict[str, Row]:
    """Every row by its name, in the order in which they are worth having."""
    folds = [
        Row(
            name=f"cv-fold-{fold}",
            what=f"cross-validation, fold {fold}",
            settings=_run(fold, CV_STEPS),
            against=f"rule-fold-{fold}",
        )
        for fold in range(FOLDS)
    ]
    rules = [
        Row(name=f"rule-fold-{fold}", what=f"threshold rule, fold {fold}", kind="rule", settings=_run(fold, 1))
        for fold in range(FOLDS)
    ]
    few = _run(0, CV_STEPS).model_copy(update={"train_cases": FEW})
    peers = [
        Row(
            name=f"nnunet-{memory_gb:g}gb-fold-0",
            what=f"nnU-Net, planned for {memory_gb:g} GB",
            kind="peer",
            settings=_run(0, CV_STEPS),
            peer_gb=memory_gb,
            against="cv-fold-0",
        )
        for memory_gb in PEER_STEPS
    ]
    rows = [
        *rules,
        *_rate_rows(),
        *folds,
        Row(name="train-30-fold-0", what=f"{FEW} training patients, fold 0", settings=few, against="cv-fold-0"),
        *peers,
        *(row for seed in SEEDS for row in _window_rows(seed)),
        *(row for seed in SEEDS for row in _step_rows(seed)),
        *_sampler_rows(),
    ]
    return {row.name: row for row in rows}
