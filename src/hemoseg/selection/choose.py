"""The choice among configurations, by their out-of-fold predictions."""

from statistics import fmean
from typing import Any

from hemoseg.datasets.sources import ANY
from hemoseg.models import Selection
from hemoseg.plan import Plan


def mean_dice(result: dict[str, Any]) -> float:
    """Mean over classes of the mean Dice of an evaluation; 0 where no class has one. `any` is made of the others."""
    means = result["mean"]
    values = [metrics["dice"]["value"] for name, metrics in means.items() if name != ANY or len(means) == 1]
    finite = [value for value in values if value is not None]
    return fmean(finite) if finite else 0.0


def choose(plan: Plan, folds: dict[str, tuple[int, ...]], results: dict[str, dict[str, Any]]) -> Selection:
    """The configuration with the highest mean out-of-fold Dice; the first in the plan of equals. Pure.

    Args:
        plan: the plan.
        folds: {configuration: folds trained}.
        results: {configuration: its evaluation}.
    """
    scores = {name: mean_dice(result) for name, result in results.items()}
    best = max(results, key=lambda name: scores[name])
    chosen = plan.configuration(best)
    used = {chosen.name: folds[chosen.name]}
    if chosen.previous_stage is not None:
        used[chosen.previous_stage] = folds[chosen.previous_stage]
    listed = ", ".join(f"{name} {score:.4f}" for name, score in scores.items())
    return Selection(
        configuration=chosen.name,
        folds=used,
        mirror=True,
        reason=f"highest mean out-of-fold Dice over classes of: {listed}",
    )
