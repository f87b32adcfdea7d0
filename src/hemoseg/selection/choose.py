"""The choice among configurations and their averages, by their out-of-fold predictions."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

from hemoseg.models import Candidate
from hemoseg.plan import ConfigurationName, Plan
from hemoseg.selection.scores import FEWEST_PATIENTS, Scores, difference, is_beyond_noise

ChoiceRule = Literal["simplest", "nnunet"]
"""The simplest of those that no other beats beyond noise, or the highest score as nnU-Net takes it."""
NNUNET_ORDER = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")
"""nnU-Net's order of configurations, which decides ties and the order of pairs."""
CHOICE_TEXT: dict[ChoiceRule, str] = {
    "simplest": "the simplest whose score is not below the best one's beyond noise: the 95 % interval of the "
    f"difference (paired bootstrap over patients, of whom there must be {FEWEST_PATIENTS}) holds 0",
    "nnunet": "the highest score, the first of equals, as nnunetv2's find_best_configuration",
}
"""The rules in words."""

Names = tuple[ConfigurationName, ...]


def candidate_names(trained: Sequence[ConfigurationName], *, largest: int) -> list[Names]:
    """All configurations, then all pairs, and larger sets up to a size, in nnU-Net's order.

    Args:
        trained: the configurations.
        largest: how many may be averaged.

    Example:
        >>> candidate_names(["3d_fullres", "2d"], largest=2)
        [('2d',), ('3d_fullres',), ('2d', '3d_fullres')]
    """
    known = [name for name in NNUNET_ORDER if name in trained]
    order = [*known, *(name for name in trained if name not in known)]
    return [names for size in range(1, largest + 1) for names in combinations(order, size)]


def count_networks(plan: Plan, names: Names) -> int:
    """Networks that a scan passes per fold."""
    stages = {plan.configuration(name).previous_stage for name in names} - {None}
    return len({*names, *stages})


def choose(plan: Plan, scores: Mapping[Names, Scores], rule: ChoiceRule) -> tuple[Names, str, tuple[Candidate, ...]]:
    """The candidate that makes the result, why, and how each fares. Pure.

    Args:
        plan: the plan.
        scores: of each candidate, the simpler ones first.
        rule: how to choose.
    """
    ranked = {names: _value(found) for names, found in scores.items()}
    best = max(ranked, key=lambda names: ranked[names])
    gaps = {names: difference(scores[best], found) for names, found in scores.items()}
    networks = {names: count_networks(plan, names) for names in scores}
    chosen = best
    if rule == "simplest":
        equal = [names for names in scores if not is_beyond_noise(gaps[names])]
        fewest = min(networks[names] for names in equal)
        chosen = max((names for names in equal if networks[names] == fewest), key=lambda names: ranked[names])
    candidates = tuple(
        Candidate(
            configurations=names,
            networks=networks[names],
            score=found.score,
            class_scores=found.by_class,
            short_of_best=gaps[names],
        )
        for names, found in scores.items()
    )
    listed = ", ".join(f"{' + '.join(names)} {value:.4f}" for names, value in ranked.items())
    why = "highest score" if chosen == best else "the simplest within noise"
    return chosen, f"{why} of: {listed}", candidates


def _value(found: Scores) -> float:
    """The score; 0 where no class has one."""
    return 0.0 if found.score is None else found.score
