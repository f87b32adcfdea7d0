"""Timing of networks under a fake clock: it ends in time, and tells what a whole step takes."""

from math import inf

import pytest

from fingerprints import case_facts, make_fingerprint
from hemoseg.pipeline import measure
from hemoseg.pipeline.watch import Silent
from hemoseg.planning import DeviceTiming, voxels_of
from hemoseg.settings import Settings
from plans import tiny_configuration, tiny_plan

LARGE = tiny_configuration(
    patch_size=(20, 320, 256),
    features=(32, 64, 128, 256, 320, 320, 320),
    strides=((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
    kernels=((1, 3, 3),) * 3 + ((3, 3, 3),) * 4,
    blocks=(2,) * 7,
    decoder_blocks=(2,) * 6,
)
CPU = DeviceTiming(device="cpu", threads=2, bf16=True)
UPDATE_S = 0.3
"""Seconds of a step that no voxel adds to."""


class Clock:
    """A machine on which a voxel takes its time, and nothing else does."""

    def __init__(self, per_voxel_s, last_factor=1.0):
        self.last_factor = last_factor
        self.now_s, self.per_voxel_s, self.timed = 0.0, per_voxel_s, []

    def step(self, plan, configuration, *, device, layout, steps, warm_up=2, limit_s=inf):
        self.timed.append(configuration)
        seconds = (1 if layout == "contiguous" else self.last_factor) * (
            UPDATE_S + self.per_voxel_s * voxels_of(configuration)
        )
        self.now_s += max(1, min(steps + warm_up, limit_s // seconds + 1)) * seconds
        return seconds


@pytest.fixture
def timed(monkeypatch):
    """The timing of a configuration on such a machine, by a deadline, and the clock."""

    def measured(configuration, *, per_voxel_s, end):
        clock = Clock(per_voxel_s)
        monkeypatch.setattr("hemoseg.training.measure_step_seconds", clock.step)
        monkeypatch.setattr(measure, "monotonic", lambda: clock.now_s)
        return measure._time(tiny_plan(configuration), configuration, CPU, end=end), clock

    return measured


def test_a_step_that_fits_is_timed_itself(timed):
    item = tiny_configuration()
    timing, clock = timed(item, per_voxel_s=1e-6, end=12.0)
    assert timing.seconds == UPDATE_S + 1e-6 * 2 * 4 * 16 * 16
    assert timing.timed_patch is None
    assert clock.timed[-1] == item


@pytest.mark.parametrize(("end", "error"), [(12.0, 0.15), (60.0, 1e-6), (400.0, 1e-6)])
def test_a_huge_step_is_extrapolated_in_time(timed, end, error):
    """120 s a step, as nnU-Net's network for head CT takes on two cores."""
    timing, clock = timed(LARGE, per_voxel_s=120 / voxels_of(LARGE), end=end)
    assert clock.now_s < end
    assert timing.timed_patch == clock.timed[-1].patch_size != LARGE.patch_size
    assert LARGE not in clock.timed
    assert timing.seconds == pytest.approx(120 + UPDATE_S, rel=error)


def test_without_time_the_smallest_patch_alone_is_timed(timed):
    timing, clock = timed(LARGE, per_voxel_s=120 / voxels_of(LARGE), end=0.0)
    assert len(clock.timed) == 1
    assert timing.seconds == pytest.approx(120 + UPDATE_S * voxels_of(LARGE) / voxels_of(clock.timed[0]))


def test_a_step_beyond_the_memory_is_not_built_however_much_time_there_is(timed):
    timing, clock = timed(LARGE, per_voxel_s=1e-9, end=1e6)
    assert LARGE not in clock.timed
    assert timing.seconds == pytest.approx(UPDATE_S + 1e-9 * voxels_of(LARGE))


@pytest.fixture
def compared(monkeypatch):
    """The layout found faster on such a machine within a time, and the clock."""

    def found(*, last_factor, limit_s, before="contiguous"):
        clock = Clock(120 / voxels_of(LARGE), last_factor)
        monkeypatch.setattr("hemoseg.training.measure_step_seconds", clock.step)
        monkeypatch.setattr(measure, "monotonic", lambda: clock.now_s)
        facts = CPU.model_copy(update={"layout": before})
        return measure._faster_layout(tiny_plan(LARGE), LARGE, facts, limit_s=limit_s), clock

    return found


@pytest.mark.parametrize(("last_factor", "layout"), [(0.8, "channels_last"), (1.3, "contiguous")])
@pytest.mark.parametrize("limit_s", [60.0, 600.0])
def test_the_faster_layout_is_taken_in_time(compared, last_factor, layout, limit_s):
    found, clock = compared(last_factor=last_factor, limit_s=limit_s)
    assert found == layout
    assert clock.now_s < limit_s


def test_without_time_to_compare_the_layout_stays(compared):
    for before in ("contiguous", "channels_last"):
        found, clock = compared(last_factor=0.1, limit_s=3.0, before=before)
        assert found == before
        assert len(clock.timed) == 2


@pytest.mark.parametrize("pays", [True, False])
def test_bf16_is_planned_where_a_convolution_gains_by_it(monkeypatch, pays):
    monkeypatch.setattr("hemoseg.training.bf16_pays", lambda device: pays and device == "cpu")
    facts = measure.measure_device(make_fingerprint([case_facts()]), Settings(iterations=1), Silent())
    assert facts.bf16 is pays
