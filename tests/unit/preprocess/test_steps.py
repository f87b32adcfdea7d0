"""Steps as they are recorded, replayed and undone."""

import hashlib
from itertools import permutations, product

import numpy as np
import pytest

from hemoseg.errors import SettingsError
from hemoseg.geometry import Orientation, Volume, uniform_slices
from hemoseg.plan import Channel, Pooling, Preparation, Slab, SplineResampling, Window
from hemoseg.preprocess import (
    CaseProperties,
    pre_steps,
    prepare,
    prepare_case,
    prepare_labels,
    resample,
    restore,
    restore_labels,
)
from hemoseg.preprocess.steps import SliceSpacing, SplineStep
from hemoseg.windows import one_hot
from plans import head_volume, tiny_preparation

TARGET = (5.0, 2.0, 2.0)
PAPER = Preparation(
    orientation="canonical",
    channels=(
        Channel(
            name="paper",
            window=Window(name="paper", low_hu=10, high_hu=100),
            scale=(0.0, 1.0),
            normalization="zscore",
            masked=True,
        ),
    ),
    windowed="first",
    head_crop=True,
    pooling=Pooling(kind="average", factor=2),
    slice_spacing_mm=1.0,
    slab=Slab(extend=1, train_range="label"),
    transpose=(1, 0, 2),
    nonzero_crop=True,
    resampling=SplineResampling(),
)
"""Every step at once."""
NNUNET = Preparation(
    orientation="as-stored",
    channels=(Channel(name="CT", normalization="zscore"),),
    windowed="first",
    head_crop=False,
    transpose=(2, 0, 1),
    nonzero_crop=True,
    resampling=SplineResampling(),
)


def bleed(volume):
    return (volume.hu == 65).astype(np.uint8)


def logits_of(labels):
    """Those of a network that is sure."""
    return np.concatenate([np.full((1, *labels.shape), 0.5, np.float32), one_hot(np.maximum(labels, 0), 2)])


def stored_as(volume, orientation):
    hu = np.ascontiguousarray(orientation.apply(volume.hu))
    grid = volume.grid.reoriented(orientation)
    return Volume(hu=hu, grid=grid, slices=uniform_slices(grid), name="turned")


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("preparation", [tiny_preparation(), NNUNET], ids=["headct", "nnunet"])
def test_masks_return_unchanged_from_every_orientation_where_nothing_is_resampled(axes, preparation):
    for flips in product((False, True), repeat=3):
        volume = stored_as(head_volume(), Orientation(axes=axes, flips=flips))
        labels = bleed(volume)
        target = pre_steps(volume, labels, preparation, seed=0).spacing_mm
        prepared, there = prepare_case(volume, labels, preparation, target, seed=0)
        assert np.array_equal(np.maximum(restore_labels(there, prepared), 0), labels)
        logits = logits_of(there)
        assert np.array_equal(restore(logits, prepared), labels)


def test_all_steps_at_once_return_with_their_volume():
    volume = head_volume((12, 80, 72), (5.0, 1.0, 1.0))
    labels = bleed(volume)
    target = pre_steps(volume, labels, PAPER, seed=0).spacing_mm
    assert target == (2.0, 1.0, 2.0)
    prepared, there = prepare_case(volume, labels, PAPER, target, seed=0)
    assert [step.kind for step in prepared.steps] == [
        *("turn", "crop", "pool", "slice-spacing", "crop", "turn", "crop", "spline")
    ]
    back = restore_labels(there, prepared)
    assert np.count_nonzero(back > 0) == pytest.approx(np.count_nonzero(labels), abs=2)
    restored = restore(logits_of(there), prepared)
    overlap = 2 * np.count_nonzero(restored & labels) / (np.count_nonzero(restored) + np.count_nonzero(labels))
    assert overlap > 0.9


def test_properties_are_json_and_replay_labels():
    volume = head_volume((12, 80, 72), (5.0, 1.0, 1.0))
    labels = bleed(volume)
    prepared, there = prepare_case(volume, labels, PAPER, (2.0, 1.0, 2.0), seed=0)
    again = CaseProperties.model_validate_json(prepared.properties.model_dump_json())
    assert again == prepared.properties
    assert again.shape == prepared.image.shape[1:]
    assert np.array_equal(prepare_labels(labels, prepared) > 0, there > 0)


def test_the_slab_is_the_labels_range_in_training_alone():
    volume = head_volume((12, 80, 72), (5.0, 1.0, 1.0))
    preparation = tiny_preparation(slab=Slab(extend=1, train_range="label"))
    labels = bleed(volume)
    slices = np.flatnonzero(labels.any(axis=(1, 2)))
    trained, _ = prepare_case(volume, labels, preparation, (5.0, 1.0, 1.0), seed=0)
    assert trained.steps[2].first[0] == slices[0] - 1
    assert trained.steps[2].stop[0] == slices[-1] + 2
    head = np.flatnonzero((volume.hu > -10).any(axis=(1, 2)))
    predicted = prepare(volume, preparation, (5.0, 1.0, 1.0))
    assert predicted.steps[2].first[0] == max(0, head[0] - 1)
    assert predicted.steps[2].stop[0] == min(12, head[-1] + 2)
    unlabeled, _ = prepare_case(volume, np.zeros_like(labels), preparation, (5.0, 1.0, 1.0), seed=0)
    assert unlabeled.steps == predicted.steps


def test_slices_are_averaged_or_interpolated_and_labels_follow():
    volume = head_volume()
    finer = prepare(volume, tiny_preparation(slice_spacing_mm=2.5), (2.5, 2.0, 2.0))
    plain = prepare(volume, tiny_preparation(), TARGET)
    assert np.array_equal(finer.image, resample(plain.image, finer.shape))
    twice = prepare_labels(bleed(volume), finer)
    assert np.array_equal(twice[::2], twice[1::2])
    assert np.array_equal(restore_labels(twice, finer), bleed(volume))


def test_beyond_the_mask_background_is_minus_one_and_masked_channels_stay_zero():
    volume = head_volume()
    prepared, there = prepare_case(
        volume, bleed(volume), PAPER.model_copy(update={"slab": None}), (2.0, 1.0, 4.0), seed=0
    )
    assert there.dtype == np.int8
    outside = there == -1
    assert outside.any()
    inference = prepare(volume, PAPER.model_copy(update={"slab": None}), (2.0, 1.0, 4.0))
    assert np.array_equal(inference.image, prepared.image)


def test_chance_pools_in_training_and_its_expectation_in_prediction():
    changes = {"pooling": Pooling(kind="random-area", factor=2), "slab": None, "transpose": (0, 1, 2)}
    preparation = PAPER.model_copy(update=changes)
    volume = head_volume((6, 40, 36))
    one, _ = prepare_case(volume, bleed(volume), preparation, (1.0, 4.0, 4.0), seed=0)
    same, _ = prepare_case(volume, bleed(volume), preparation, (1.0, 4.0, 4.0), seed=0)
    other, _ = prepare_case(volume, bleed(volume), preparation, (1.0, 4.0, 4.0), seed=1)
    predicted = prepare(volume, preparation, (1.0, 4.0, 4.0))
    assert np.array_equal(one.image, same.image)
    assert not np.array_equal(one.image, other.image)
    assert not np.array_equal(one.image, predicted.image)


def test_a_plan_of_several_image_channels_is_refused():
    second = Channel(name="MR", source=1)
    with pytest.raises(SettingsError, match="image channel 1"):
        prepare(head_volume(), NNUNET.model_copy(update={"channels": (*NNUNET.channels, second)}), TARGET)


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "target_mm", "image", "mask"),
    [
        ((12, 40, 36), TARGET, TARGET, "63322f1f61e25828", "215d5fa55542e479"),
        ((12, 80, 72), (5.0, 1.0, 1.0), (5.0, 1.9, 1.9), "e5a26393ee579a21", "7ecd453d9831a42f"),
        ((20, 40, 36), (1.3, 2.0, 2.0), (3.1, 1.3, 1.7), "5323a5f3bf644d74", "5c9905f32c000287"),
        ((9, 33, 31), TARGET, (2.5, 0.94, 0.94), "a330372f96086cf4", "39859d55dcc7817c"),
    ],
)
def test_what_shipped_models_see_and_return_is_unchanged_to_the_bit(shape, spacing_mm, target_mm, image, mask):
    """Hashes of what version 0.1.0 made, before other steps were there."""
    prepared = prepare(head_volume(shape, spacing_mm), tiny_preparation(), target_mm)
    logits = np.random.default_rng(0).standard_normal((3, *prepared.shape)).astype(np.float32)
    assert hashlib.sha256(prepared.image.tobytes()).hexdigest().startswith(image)
    assert hashlib.sha256(restore(logits, prepared).tobytes()).hexdigest().startswith(mask)


@pytest.mark.parametrize("slices", [25, 21, 27, 19])
def test_other_slice_numbers_keep_the_volume_of_a_bleed_there_and_back(slices):
    labels = np.zeros((20, 40, 40), dtype=np.uint8)
    labels[3:7, 10:30, 10:30] = 1
    labels[7, 12:28, 12:28] = 2
    step = SliceSpacing(before=labels.shape, slices=slices)
    there = step.labels(labels)
    back = step.undo_labels(there)
    for number, size in ((1, 1600), (2, 256)):
        assert np.count_nonzero(there == number) == pytest.approx(size * slices / 20, abs=0.5)
        assert np.count_nonzero(back == number) == pytest.approx(size, abs=1)


def test_slices_that_are_cut_into_whole_parts_return_unchanged(rng):
    labels = rng.integers(0, 4, (9, 12, 12)).astype(np.uint8)
    step = SliceSpacing(before=labels.shape, slices=45)
    there = step.labels(labels)
    assert np.array_equal(there, labels.repeat(5, axis=0))
    assert np.array_equal(step.undo_labels(there), labels)


@pytest.mark.parametrize("spacing", [(1.0, 1.1, 1.1), (1.0, 0.93, 0.93), (2.0, 1.3, 1.3)])
def test_after_steps_of_our_own_the_last_resampling_keeps_volumes(spacing):
    before = np.zeros((30, 50, 50), dtype=np.uint8)
    before[8:15, 20:28, 20:31] = 1
    before[15:17, 20:28, 20:31] = 2
    size = tuple(max(1, round(n / s)) for n, s in zip(before.shape, spacing, strict=True))
    step = SplineStep(
        before=before.shape,
        after=size,
        spacing_before_mm=(1.0, 1.0, 1.0),
        spacing_after_mm=spacing,
        rule=SplineResampling(labels=None),
    )
    there = step.labels(before)
    back = step.undo_labels(there)
    for number in (1, 2):
        count = np.count_nonzero(before == number)
        assert np.count_nonzero(there == number) == pytest.approx(count * np.prod(size) / before.size, abs=0.5)
        assert np.count_nonzero(back == number) == pytest.approx(count, abs=0.5 + 0.5 * before.size / np.prod(size))


@pytest.mark.parametrize("target", [(2.0, 1.0, 1.0), (5.0, 2.0, 2.0), (9.0, 5.0, 3.0)])
@pytest.mark.parametrize("name", ["headct", "nnunet", "paper"])
def test_what_is_ignored_stays_so_on_every_grid(name, target):
    paper = PAPER.model_copy(update={"slab": Slab(extend=1)})
    preparation = {"headct": tiny_preparation(), "nnunet": NNUNET, "paper": paper}[name]
    volume = head_volume((12, 80, 72), (5.0, 1.0, 1.0))
    labels = np.full(volume.hu.shape, 2, dtype=np.uint8)
    _, there = prepare_case(volume, labels, preparation, target, seed=0, ignore=2)
    assert (there == 2).all()
    labels[5:] = bleed(volume)[5:]
    prepared, there = prepare_case(volume, labels, preparation, target, seed=0, ignore=2)
    back = restore_labels(there, prepared)
    kept = restore_labels(np.ones_like(there), prepared) == 1  # what no crop took away
    assert kept[1:3].sum() > 1000
    assert (back[:3][kept[:3]] == 2).all()  # two slices from the border: no share of another label
    assert (back == 1).any()
    assert not (back[8:] == 2).any()


def test_ignored_slices_are_not_in_the_labels_range():
    volume = head_volume((12, 80, 72), (5.0, 1.0, 1.0))
    preparation = tiny_preparation(slab=Slab(extend=1, train_range="label"))
    labels = bleed(volume)
    plain, _ = prepare_case(volume, labels, preparation, (5.0, 1.0, 1.0), seed=0)
    assert not labels[:3].any()
    labels[:2] = 2
    ignoring, _ = prepare_case(volume, labels, preparation, (5.0, 1.0, 1.0), seed=0, ignore=2)
    assert ignoring.steps == plain.steps
    wrong, _ = prepare_case(volume, labels, preparation, (5.0, 1.0, 1.0), seed=0)
    assert wrong.steps != plain.steps
