"""nnU-Net's patches: which are forced, where they lie, what lies outside the case."""

import numpy as np
import pytest

from hemoseg.data import BatchSource, NnunetSampler, StoredCase
from hemoseg.data.nnunet_sampler import corner_range
from hemoseg.errors import InputError
from hemoseg.plan import Channel, Recipe, Region
from plans import tiny_configuration, tiny_plan, tiny_preparation

PATCH = (4, 16, 16)


def stored(shape=(12, 20, 24), *, name="a", labels=(((5, 9, 11), 1),), previous=False, channels=1):
    image = np.random.default_rng(0).normal(5, 1, (channels, *shape)).astype(np.float32)
    numbers = np.zeros(shape, dtype=np.int8)
    for at, number in labels:
        numbers[at] = number
    return StoredCase(name=name, image=image, labels=numbers, previous=numbers.copy() if previous else None)


def make(cases, *, load_size=PATCH, held_out=(), plan=None, share=0.33, windowed="first", **changes):
    preparation = tiny_preparation(windowed=windowed)
    if windowed == "first":
        preparation = tiny_preparation(windowed="first", channels=(Channel(name="CT", normalization="zscore"),))
    values = {"preparation": preparation, "recipe": Recipe(name="nnunet", forced_foreground=share)} | (plan or {})
    made = tiny_plan(tiny_configuration(**changes), **values)
    return NnunetSampler(cases, made, made.configurations[0], fold=0, load_size=load_size, held_out=held_out)


@pytest.mark.parametrize(
    ("size", "forced"), [(1, 0), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2), (7, 2), (8, 3), (9, 3), (10, 3), (12, 4)]
)
def test_the_last_third_of_a_batch_is_forced(size, forced):
    sampler = make([stored()], batch_size=size)
    assert [sampler.is_forced(j) for j in range(size)] == [False] * (size - forced) + [True] * forced


def test_a_forced_patch_is_centered_and_hangs_over_the_far_border_alone():
    for voxel, corner in (((5, 9, 11), (3, 1, 3)), ((11, 19, 23), (9, 11, 15)), ((0, 0, 0), (0, 0, 0))):
        sampler = make([stored(labels=((voxel, 1),))])
        assert sampler.draw(np.random.default_rng(0), sampler.cases, PATCH, forced=True) == (0, corner)
    beyond = make([stored(labels=(((11, 19, 23), 1),))]).patch(0, 1)[0]
    assert (beyond.labels[3:] == -1).all()
    assert (beyond.labels[:, 9:] == -1).all()
    assert (beyond.image[:, 3:] == 0).all()
    assert (beyond.labels[2, 8, 8], beyond.image[0, 2, 8, 8] > 2) == (1, True)


def test_random_corners_reach_half_of_the_padding_beyond_each_border():
    sampler = make([stored((12, 20, 10), labels=())], load_size=(4, 21, 18))
    ranges = [(0, 8), (-3, 2), (-4, -4)]
    assert [corner_range(n, loaded=s, patch=p) for n, s, p in zip((12, 20, 10), (4, 21, 18), PATCH, strict=True)] == (
        ranges
    )
    draws = [sampler.draw(np.random.default_rng(i), sampler.cases, (4, 21, 18), forced=False)[1] for i in range(400)]
    for axis, (low, high) in enumerate(ranges):
        assert {corner[axis] for corner in draws} == set(range(low, high + 1))


def test_classes_are_drawn_evenly_and_then_their_voxels():
    labels = [((0, 0, x), 1) for x in range(20)] + [((9, 9, 9), 2)]
    sampler = make([stored(labels=labels)])
    found = [sampler.draw(np.random.default_rng(i), sampler.cases, PATCH, forced=True)[1] for i in range(2000)]
    assert np.mean([corner == (7, 1, 1) for corner in found]) == pytest.approx(0.5, abs=0.04)
    rest = [corner[2] for corner in found if corner != (7, 1, 1)]
    assert rest.count(0) / len(rest) == pytest.approx(9 / 20, abs=0.05)  # x of 0 to 8 are held back by the border


def test_regions_are_drawn_evenly():
    regions = (Region(labels=(1, 2), paint=1), Region(labels=(2,), paint=2))
    labels = [((0, 0, x), 1) for x in range(3)] + [((9, 9, 9), 2)]
    sampler = make([stored(labels=labels)], plan={"regions": regions})
    found = [sampler.draw(np.random.default_rng(i), sampler.cases, PATCH, forced=True)[1] for i in range(2000)]
    assert np.mean([corner == (7, 1, 1) for corner in found]) == pytest.approx(0.5 + 0.5 / 4, abs=0.04)


def test_cases_are_drawn_evenly_with_foreground_or_without():
    cases = [stored(name="full"), stored(name="empty", labels=())]
    sampler = make(cases, batch_size=2)
    names = [sampler.patch(i, 1)[0].case for i in range(400)]
    assert names.count("empty") / 400 == pytest.approx(0.5, abs=0.08)


def test_patches_are_centered_on_labeled_voxels_where_some_are_ignored():
    labels = [(..., 3), ((6, 10, 12), 0), ((6, 10, 13), 1)]
    sampler = make([stored(labels=labels), stored(name="b")])
    assert sampler.ignore == 3
    for i in range(200):
        case, corner = sampler.draw(np.random.default_rng(i), sampler.cases, PATCH, forced=False)
        assert case == 1 or corner in ((4, 2, 4), (4, 2, 5))
    corners = {sampler.draw(np.random.default_rng(i), sampler.cases, PATCH, forced=True)[1] for i in range(50)}
    assert corners == {(4, 2, 5), (3, 1, 3)}


def test_what_lies_outside():
    case = stored(labels=(((11, 19, 23), 1),), previous=True)
    raw = make([case]).patch(0, 1)[0]
    assert raw.previous is not None
    assert (raw.previous[3:] == -1).all()
    last = make([case], windowed="last").patch(0, 1)[0]
    assert last.image.shape == (2, *PATCH)
    assert (last.image[:, 3:] == 0).all()
    assert (last.image[:, 2, 8, 8] < -0.5).all()  # 5 HU in the windows from 0 and from -20


def test_validation_is_the_patch_itself():
    case = stored(labels=(((11, 19, 23), 1), ((0, 0, 0), -1)), previous=True)
    sampler = make([stored(name="t")], held_out=[case], load_size=(4, 21, 18), batch_size=3)
    batch = sampler.validation_batch(0)
    assert batch.cases == ("a",) * 3
    assert batch.inputs.shape == (3, 3, *PATCH)
    assert batch.labels.dtype == np.uint8
    assert batch.labels.max() == 1
    assert np.array_equal(batch.inputs[:, 1], batch.labels == 1)
    assert batch.labels[2].any()
    assert np.array_equal(sampler.validation_batch(0).inputs, batch.inputs)
    assert not isinstance(sampler, BatchSource)  # its training patches still want augmentation
    with pytest.raises(InputError, match="no case is held out"):
        make([case]).validation_batch(0)


def test_patches_of_single_slices():
    sampler = make(
        [stored()],
        load_size=(1, 21, 21),
        patch_size=(1, 16, 16),
        strides=((1, 1, 1), (1, 2, 2)),
        kernels=((1, 3, 3), (1, 3, 3)),
    )
    assert sampler.patch(0, 1)[0].labels[0, 10, 10] == 1
    assert {sampler.patch(i, 0)[0].image.shape for i in range(3)} == {(1, 1, 21, 21)}
