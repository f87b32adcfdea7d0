"""Places of teams; those of the challenge come out."""

import pytest

from hemoseg.errors import InputError
from hemoseg.evaluation import rank_results
from hemoseg.evaluation.rank import rank_means
from hemoseg.evaluation.result import Result

METRICS = ("dice", "rvd", "nsd_0.42mm", "hd_mm")
CHALLENGE = {
    "vegetable": (0.6925, 0.2121, 0.5359, 35.27),
    "nvauto": (0.7206, 0.2615, 0.5343, None),
    "mec-lab": (0.6900, 0.3125, 0.5125, None),
    "ibot": (0.6894, 0.3151, 0.5036, None),
    "stubmers": (0.6797, 0.3241, 0.4946, None),
    "crainet": (0.6739, 0.3234, 0.4840, None),
    "superembrace": (0.6684, 0.3332, 0.4809, 43.90),
    "scan": (0.6528, 0.3651, 0.4749, None),
    "dolphins": (0.6497, 0.3394, 0.4686, None),
    "nic-vicorob": (0.6214, 0.3329, 0.4201, None),
    "2i_mtl": (0.6195, 0.3991, 0.4280, 55.36),
    "avich": (0.5704, 0.4278, 0.3673, 60.81),
    "visal": (0.4022, 1.5548, 0.2511, 68.36),
}
"""Means on the 70 hidden cases, in the published order."""


def test_places_of_the_challenge():
    backwards = {team: dict(zip(METRICS, CHALLENGE[team], strict=True)) for team in reversed(CHALLENGE)}
    places = rank_means(backwards)
    assert [found.team for found in places] == list(CHALLENGE)
    assert [found.place for found in places] == list(range(1, 14))
    assert places[0].ranks == {"dice": 2, "rvd": 1, "nsd_0.42mm": 1, "hd_mm": 1}
    assert places[1].ranks["hd_mm"] == places[9].ranks["hd_mm"] == 6


def result(dice, *, protocol="instance2022", cases=("a", "b"), metrics=METRICS):
    means = {name: {"value": dice if name == "dice" else 0.5, "n": 2} for name in metrics}
    return Result(
        protocol=protocol, cases=[{"case": case, "classes": {}} for case in cases], mean={"hemorrhage": means}
    )


def test_equals_share_a_place():
    places = rank_results({"x": result(0.5), "y": result(0.5), "z": result(0.4)})
    assert [(found.team, found.place) for found in places] == [("x", 1), ("y", 1), ("z", 3)]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (result(0.5, protocol="extended"), "y: protocol extended"),
        (result(0.5, metrics=METRICS[:3]), "y: no mean hd_mm"),
        (result(0.5, cases=("a", "c")), "x lacks 1 case: c; y lacks 1 case: b"),
    ],
)
def test_what_cannot_be_ranked_is_refused(other, message):
    with pytest.raises(InputError, match=message):
        rank_results({"x": result(0.5), "y": other})


def test_one_team_alone_has_no_place():
    with pytest.raises(InputError, match="two or more"):
        rank_results({"x": result(0.5)})
