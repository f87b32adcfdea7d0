"""Timing of a step: some come before, and no more begin when the time is over."""

import pytest

from hemoseg.training import timing
from hemoseg.training.timing import measure_step_seconds
from plans import tiny_configuration, tiny_plan


@pytest.fixture
def clock(monkeypatch):
    """Seconds that steps take, one after the other; what is left of them has not been taken."""
    seconds = [9.0, 5.0, 2.0, 3.0, 4.0]
    now = {"s": 0.0, "begins": True}

    def monotonic():
        now["begins"] = not now["begins"]
        now["s"] += seconds.pop(0) if now["begins"] else 0.0
        return now["s"]

    monkeypatch.setattr(timing.time, "monotonic", monotonic)
    return seconds


def measured(**changes):
    item = tiny_configuration()
    return measure_step_seconds(tiny_plan(item), item, device="cpu", layout="channels_last", **changes)


def test_the_median_of_steps_after_some_that_warm_up(clock):
    assert measured(steps=3) == 3.0
    assert clock == []


@pytest.mark.parametrize(("limit_s", "seconds", "left"), [(1.0, 9.0, 4), (9.5, 5.0, 3), (16.5, 2.5, 1), (-1.0, 9.0, 4)])
def test_no_step_begins_when_the_time_is_over(clock, limit_s, seconds, left):
    assert measured(steps=3, limit_s=limit_s) == seconds
    assert len(clock) == left
