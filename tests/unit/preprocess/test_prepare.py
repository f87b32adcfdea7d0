"""A scan on its way to the network's grid and back."""

from dataclasses import replace

import numpy as np
import pytest

from hemoseg.plan import Channel, Region, SplineResampling
from hemoseg.preprocess import prepare, prepare_cascade, prepare_labels, resample, restore
from hemoseg.preprocess.back import give_back, painted
from hemoseg.preprocess.stepped import scan_spacing
from hemoseg.windows import one_hot
from plans import head_volume, tiny_configuration, tiny_plan, tiny_preparation


def test_mask_returns_unchanged_where_nothing_is_resampled():
    volume = head_volume()
    plan = tiny_plan()
    prepared = prepare(volume, plan.preparation, plan.configurations[0].spacing_mm)
    labels = (volume.hu == 65).astype(np.uint8)
    there = prepare_labels(labels, prepared)
    logits = np.concatenate([np.full((1, *there.shape), 0.5, np.float32), one_hot(there, 3)])
    assert np.array_equal(restore(logits, prepared), labels)


def test_volume_is_kept_within_two_percent_through_a_coarser_grid():
    """Shares of the lesion, as a good network would give them, come back as its volume."""
    volume = head_volume((12, 160, 144), (5.0, 0.5, 0.5))
    plan = tiny_plan(tiny_configuration(spacing_mm=(5.0, 1.0, 1.0)))
    prepared = prepare(volume, plan.preparation, plan.configurations[0].spacing_mm)
    labels = (volume.hu == 65).astype(np.uint8)
    z, y, x = prepared.shape
    share = resample(labels[prepared.steps[1].box].astype(np.float32), (z, y, x))
    back = restore(np.stack([np.full_like(share, 0.5), share, np.zeros_like(share)]), prepared)
    assert back.sum() == pytest.approx(labels.sum(), rel=0.02)


def test_values_are_clamped_before_they_are_averaged():
    """Bone averaged with brain would pass for blood if it were clamped after."""
    volume = head_volume((12, 80, 72), (5.0, 1.0, 1.0))
    plan = tiny_plan()
    prepared = prepare(volume, plan.preparation, plan.configurations[0].spacing_mm)
    assert prepared.image.min() >= -20 - 1e-4
    assert prepared.image.max() <= 100 + 1e-4


def test_the_crop_holds_the_head_and_little_else():
    volume = head_volume()
    plan = tiny_plan()
    prepared = prepare(volume, plan.preparation, plan.configurations[0].spacing_mm)
    head = np.argwhere(volume.hu > -10)
    assert [part.start for part in prepared.steps[1].box] == head.min(axis=0).tolist()
    assert [part.stop for part in prepared.steps[1].box] == (head.max(axis=0) + 1).tolist()


def test_spacing_of_turned_axes_is_the_matrix_in_float32_and_of_others_the_headers():
    """As nibabel's images have it, whose header is written anew when they are turned."""
    stored = (5.0, 0.5, 0.5)
    volume = replace(head_volume((12, 80, 72), (5.0, 0.5000001, 0.5)), stored_spacing_mm=stored)
    preparation = tiny_preparation(orientation="ras")
    turned = volume.grid.reoriented(volume.grid.ras_orientation())
    matrix = (5.0, float(np.float32(0.5000001)), 0.5)
    assert scan_spacing(volume, preparation) == matrix
    assert scan_spacing(replace(volume, grid=turned), preparation) == stored
    assert prepare(volume, preparation, (5.0, 1.0, 1.0)).properties.turn.flips == (False, True, True)


@pytest.mark.parametrize(("orientation", "lowest"), [("canonical", -1024), ("as-stored", -3024), ("ras", -3024)])
def test_padding_is_air_to_our_steps_and_as_stored_to_nnunets(orientation, lowest):
    volume = head_volume()
    volume.hu[0, 0, :3] = -3024
    channel = Channel(name="CT")
    preparation = tiny_plan(tiny_configuration()).preparation.model_copy(
        update={"orientation": orientation, "channels": (channel,), "windowed": "first", "head_crop": False}
    )
    prepared = prepare(volume, preparation, volume.grid.spacing_mm)
    assert prepared.image.min() == lowest
    assert volume.hu.min() == -3024


def test_later_regions_are_painted_over_earlier_ones():
    logits = np.array([[-1, 1, 1, -1, 0]], dtype=np.float32), np.array([[-1, -1, 1, 1, 0]], dtype=np.float32)
    regions = (Region(labels=(1, 2), paint=1), Region(labels=(2,), paint=2))
    assert painted(np.stack(logits), regions).tolist() == [[0, 1, 2, 2, 0]]


def test_half_precision_is_rounded_again_on_the_way_back():
    """Between 999.5 and 1000.5 lies 1000.25, in float16 1000: level with the first class, which wins then."""
    volume = head_volume((12, 80, 72), (5.0, 1.0, 1.0))
    plan = tiny_plan()
    prepared = prepare(volume, plan.preparation, plan.configurations[0].spacing_mm)
    logits = np.full((2, *prepared.shape), 1000, dtype=np.float16)
    logits[1, :, :, ::2], logits[1, :, :, 1::2] = 999.5, 1000.5
    wide, half = restore(logits.astype(np.float32), prepared), restore(logits, prepared)
    assert 0 < half.sum() < 0.9 * wide.sum()


def test_background_beyond_the_non_zero_mask_is_no_share_of_background(rng):
    """A class with less than half a voxel wins it where background inside and outside the mask share the rest."""
    volume = head_volume((3, 8, 8), (5.0, 1.0, 1.0))
    volume.hu[:] = 30
    volume.hu[:, 4:, :] = 0
    volume.hu[:, 7, 7] = 30  # the box of the mask is the whole volume
    previous = rng.integers(0, 2, (3, 8, 8), dtype=np.uint8)
    preparation = tiny_preparation(
        orientation="as-stored",
        channels=(Channel(name="CT"),),
        windowed="first",
        head_crop=False,
        nonzero_crop=True,
        resampling=SplineResampling(),
    )
    prepared, labels = prepare_cascade(volume, previous, preparation, (5.0, 8 / 13, 8 / 13))
    alone = prepare_labels(previous, prepared)
    assert np.array_equal(prepared.image, prepare(volume, preparation, (5.0, 8 / 13, 8 / 13)).image)
    assert set(np.unique(labels)) == {-1, 0, 1}
    assert (labels == 1).sum() > (alone == 1).sum()
    assert (labels[alone == 1] == 1).all()


def test_probabilities_of_regions_are_each_sigmoid():
    volume = head_volume()
    plan = tiny_plan()
    prepared = prepare(volume, plan.preparation, volume.grid.spacing_mm)
    logits = np.zeros((2, *prepared.shape), dtype=np.float32)
    logits[0], logits[1] = np.log(3), -200
    regions = (Region(labels=(1, 2), paint=1), Region(labels=(2,), paint=2))
    found = give_back(logits, prepared, regions, with_shares=True).shares
    assert found.shape == (2, *volume.hu.shape)
    assert set(np.unique(found[0]).round(6)) == {0, 0.75}
    assert not found[1].any()
