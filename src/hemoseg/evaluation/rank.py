"""Several teams ranked as the INSTANCE 2022 challenge ranked them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from hemoseg.errors import InputError
from hemoseg.evaluation.files import listed
from hemoseg.evaluation.instance2022 import CLASS, NAME
from hemoseg.evaluation.result import Result

BETTER_HIGH = {"dice": True, "rvd": False, "nsd_0.42mm": True, "hd_mm": False}
"""{metric: whether more is better}."""
RULE = (
    "place by the mean of four ranks, one per mean metric; equal means share the better rank, and a mean that is not "
    "finite comes after all that are"
)
"""How teams are ranked, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a team came."""

    team: str
    """Its name."""
    place: int
    """From 1; equal mean ranks share a place."""
    mean_rank: float
    """Mean of the ranks."""
    means: dict[str, float | None]
    """{metric: mean over cases}; None where not finite."""
    ranks: dict[str, int]
    """{metric: rank}."""


def rank_results(results: Mapping[str, Result]) -> list[Place]:
    """The places of several teams on the same cases.

    Args:
        results: {team: its result by the protocol instance2022}.

    Raises:
        InputError: fewer than two teams, another protocol, a metric that is lacking, or other cases.
    """
    for team, result in results.items():
        lacking = [name for name in BETTER_HIGH if name not in result.mean.get(CLASS, {})]
        if result.protocol != NAME or lacking:
            raise InputError(
                f"no mean {lacking[0]}" if result.protocol == NAME else f"protocol {result.protocol}",
                where=team,
                expected=f"results of `hemoseg evaluate --protocol {NAME}`",
                remedy="evaluate the predictions by that protocol",
            )
    check_same_cases(results)
    return rank_means({team: {name: mean.value for name, mean in r.mean[CLASS].items()} for team, r in results.items()})


def check_same_cases(results: Mapping[str, Result]) -> None:
    """Refuse results that are not of the same cases.

    Raises:
        InputError: fewer than two results, or a case that one lacks; names it.
    """
    if len(results) < 2:
        raise InputError("one result", where=next(iter(results), "nothing"), expected="two or more", remedy="name more")
    names = {team: {case.case for case in result.cases} for team, result in results.items()}
    everything = set().union(*names.values())
    lacks = [
        f"{team} lacks {listed(sorted(everything - cases))}" for team, cases in names.items() if everything - cases
    ]
    if lacks:
        raise InputError(
            "; ".join(lacks),
            where=" and ".join(results),
            expected="results of the same cases",
            remedy="evaluate all on the same references",
        )


def rank_means(means: Mapping[str, Mapping[str, float | None]]) -> list[Place]:
    """Teams by place, of equals by name.

    The challenge published values and places, no formula; this one gives the order of its table.

    Args:
        means: {team: {metric: mean over cases}}, None or infinite where not finite.

    Source:
        The table `Challenge result/instance_result.xlsx` of github.com/PerceptionComputingLab/INSTANCE2022.
    """
    ranks = {
        name: _ranks([values[name] for values in means.values()], is_high) for name, is_high in BETTER_HIGH.items()
    }
    of_team = [{name: ranks[name][number] for name in BETTER_HIGH} for number in range(len(means))]
    mean_ranks = [fmean(found.values()) for found in of_team]
    places = [
        Place(
            team=team,
            place=1 + sum(other < mean_rank for other in mean_ranks),
            mean_rank=mean_rank,
            means={name: values[name] for name in BETTER_HIGH},
            ranks=found,
        )
        for (team, values), found, mean_rank in zip(means.items(), of_team, mean_ranks, strict=True)
    ]
    return sorted(places, key=lambda place: (place.place, place.team))


def _ranks(values: Sequence[float | None], is_high: bool) -> list[int]:
    """1 for the best; equals share the better rank."""
    worst = float("inf")
    keys = [worst if value is None else -value if is_high else value for value in values]
    return [1 + sum(other < key for other in keys) for key in keys]
