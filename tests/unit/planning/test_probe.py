"""Patches that stand for larger ones."""

from math import prod

from hemoseg.planning import extrapolate_seconds, probes, voxels_of
from hemoseg.planning.memory import plan_memory
from hemoseg.planning.probe import LEAST_COARSE, SMALLEST_PART, TIMING_MB
from plans import tiny_configuration, tiny_plan


def test_probes_grow_to_the_configuration_itself():
    item = tiny_configuration(patch_size=(4, 64, 48))
    found = probes(tiny_plan(item), item)
    assert found[-1] == item
    sizes = [voxels_of(one) for one in found]
    assert sizes == sorted(set(sizes))
    assert all(one.batch_size == 1 for one in found[:-1])
    for one in found:  # each is a valid configuration whose coarsest stage keeps some voxels
        assert type(one).model_validate(one.model_dump()) == one
        assert prod(one.patch_size) // prod(prod(stride) for stride in one.strides) >= LEAST_COARSE


def test_no_probe_is_so_small_that_it_tells_nothing():
    item = tiny_configuration(patch_size=(64, 512, 512))
    smallest, *_ = probes(tiny_plan(item), item)
    assert voxels_of(item) / SMALLEST_PART <= voxels_of(smallest) < 2 * voxels_of(item) / SMALLEST_PART


def test_what_needs_much_memory_is_left_out():
    item = tiny_configuration(features=(64, 128), patch_size=(32, 256, 256))
    plan = tiny_plan(item)
    assert plan_memory(plan, item).total_mb > TIMING_MB
    assert max(plan_memory(plan, one).total_mb for one in probes(plan, item)) <= TIMING_MB


def test_the_smallest_is_there_whatever_it_needs():
    item = tiny_configuration(features=(8, 40_000), patch_size=(4, 4, 4), strides=((1, 1, 1), (2, 2, 2)))
    (only, *_) = probes(tiny_plan(item), item)
    assert plan_memory(tiny_plan(item), only).total_mb > TIMING_MB


def test_times_that_do_not_rise_count_as_the_larger():
    assert extrapolate_seconds((10, 2.0), (20, 1.0), 40) == 2.0
