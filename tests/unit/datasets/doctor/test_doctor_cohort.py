"""Heads that stand wrongly, told by the others."""

from dataclasses import replace

import numpy as np
import pytest

from hemoseg.datasets.doctor.cohort import ROWS_BETTER, _remaining, judge_cohort
from hemoseg.datasets.doctor.examine import CaseFacts
from hemoseg.datasets.doctor.image import ImageFacts
from hemoseg.datasets.doctor.stack import SIGNATURE, StackFacts


def case(number, signature):
    stack = StackFacts(
        areas=(0.5,) * 16,
        swap=(0, 0),
        swap_gain=0.0,
        blocks=(0, 1, 2),
        blocks_gain=0.0,
        repeated=(),
        blank=(),
        padding_change=0.0,
        padding_slice=0,
        signature=np.rint(signature).astype(np.int16),
    )
    return CaseFacts(
        name=f"c{number}",
        patient=f"p{number}",
        image_file=None,
        label_file=None,
        image=ImageFacts(content=str(number), low=-1000.0, high=1000.0),
        stack=stack,
        label=None,
    )


@pytest.fixture
def cases(rng):
    """Sixteen heads that differ by noise of 30 HU, with a front and a vertex."""
    z, y, _ = np.indices(SIGNATURE)
    return [case(k, 6 * z + 8 * y + rng.normal(0, 30, SIGNATURE)) for k in range(16)]


def findings(cases):
    return [(item.code, item.cases) for item in judge_cohort(cases, None, in_hu={c.name for c in cases})]


def test_heads_that_stand_alike_are_fine(cases):
    assert findings(cases) == []


@pytest.mark.parametrize(("axis", "code"), [(0, "slices-reversed"), (1, "rows-reversed")])
def test_a_head_that_stands_otherwise_is_told(cases, axis, code):
    turned = np.flip(cases[3].stack.signature, axis)
    cases[3] = replace(cases[3], stack=replace(cases[3].stack, signature=turned))
    assert findings(cases) == [(code, ("c3",))]


def test_two_heads_that_stand_back_to_front_are_told(cases):
    for k in (2, 7):
        cases[k] = replace(cases[k], stack=replace(cases[k].stack, signature=np.flip(cases[k].stack.signature, 1)))
    assert findings(cases) == [("rows-reversed", ("c2",)), ("rows-reversed", ("c7",))]


def test_few_heads_do_not_tell_front_from_back(cases):
    turned = np.flip(cases[3].stack.signature, 1)
    cases[3] = replace(cases[3], stack=replace(cases[3].stack, signature=turned))
    assert findings(cases[:15]) == []


@pytest.mark.parametrize("count", [8, 16, 30])
def test_heads_without_a_common_front_are_hardly_ever_told(rng, count):
    """Each is a little larger in front or behind, by chance: some are nearer to the mean of the others reversed."""
    z, y, _ = np.indices(SIGNATURE)
    nearer = told = 0
    for _ in range(20):
        heads = [6 * z + rng.normal(0, 3) * (y - 7.5) + rng.normal(0, 10, SIGNATURE) for _ in range(count)]
        nearer += bool((_remaining(np.stack(heads), 1) < ROWS_BETTER).any())
        told += bool(findings([case(k, head) for k, head in enumerate(heads)]))
    assert nearer >= 5
    assert told <= 1


def test_few_cases_are_told_by_their_own_form(cases):
    """A vertex below and a wide base above."""
    areas = tuple(np.linspace(0.1, 0.5, 16).tolist())
    few = cases[:3]
    few[1] = replace(few[1], stack=replace(few[1].stack, areas=areas))
    assert findings(few) == [("slices-reversed", ("c1",))]
    few[1] = replace(few[1], stack=replace(few[1].stack, areas=areas[::-1]))
    assert findings(few) == []


def test_what_is_no_hu_is_not_compared(cases):
    same = [replace(item, stack=cases[0].stack) for item in cases]
    assert len(findings(same)) == 120
    assert list(judge_cohort(same, None, in_hu=set())) == []
