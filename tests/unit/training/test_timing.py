"""Timing of a step: some come before, and no more begin when the time is over. And of bf16 against float32."""

import pytest

from hemoseg.training import timing
from hemoseg.training.timing import bf16_pays, measure_step_seconds
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


@pytest.fixture
def pace(monkeypatch):
    """{whether in bf16: seconds of a convolution}, by a clock that only convolutions move."""
    seconds, now = {}, {"s": 0.0}

    def convolve(*_):
        now["s"] += seconds[timing.torch.is_autocast_enabled("cpu")]

    monkeypatch.setattr(timing.time, "process_time", lambda: now["s"])
    monkeypatch.setattr(timing.torch.nn.Conv3d, "forward", convolve)
    monkeypatch.setattr(timing, "supports_bf16", lambda _: True)
    bf16_pays.cache_clear()
    yield seconds
    bf16_pays.cache_clear()


@pytest.mark.parametrize(("bf16_s", "pays"), [(0.5, True), (0.8, True), (0.9, False), (2.0, False)])
def test_bf16_pays_where_float32_takes_a_fifth_longer(pace, bf16_s, pays):
    pace.update({True: bf16_s, False: 1.0})
    assert bf16_pays("cpu") is pays


def test_bf16_does_not_pay_where_it_is_not_native(pace, monkeypatch):
    monkeypatch.setattr(timing, "supports_bf16", lambda _: False)
    assert not bf16_pays("cpu")
