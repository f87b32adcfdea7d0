"""nnU-Net's recipe: batches by number, chance kept apart, load sizes, and what is altered in which order."""

from math import radians

import numpy as np
import pytest
import torch

from hemoseg.data import BatchSource, Sampler, StoredCase
from hemoseg.plan import Channel, Recipe
from hemoseg.training.augment import AugmentedSource, DoubtedSource, geometry_of
from hemoseg.training.augment.cascade import Morphology, RemovedComponent
from hemoseg.training.augment.chance import alone
from hemoseg.training.augment.geometry import turned_size
from hemoseg.training.augment.table import Blur, make_transforms
from plans import tiny_configuration, tiny_plan, tiny_preparation

FLAT = {"dimensions": 2, "patch_size": (1, 16, 20), "kernels": ((1, 3, 3), (1, 3, 3)), "mirror_axes": (1, 2)}


def stored(name, *, previous=False, empty=False):
    rng = np.random.default_rng(len(name))
    image = rng.normal(0, 1, (1, 9, 40, 36)).astype(np.float32)
    labels = np.zeros((9, 40, 36), dtype=np.int8)
    labels[:, :3] = -1
    if not empty:
        labels[2:6, 10:20, 12:22] = 1
        labels[3:5, 14:18, 20:24] = 2
    return StoredCase(name=name, image=image, labels=labels, previous=labels.clip(0) if previous else None)


def make(*, cases=("a", "bb", "ccc"), previous=False, masked=False, seed=0, fold=0, **changes):
    if previous:
        changes |= {"name": "3d_cascade_fullres", "previous_stage": "3d_lowres"}
    configuration = tiny_configuration(**changes)
    plan = tiny_plan(
        configuration,
        preparation=tiny_preparation(
            windowed="first", channels=(Channel(name="CT", normalization="zscore", masked=masked),)
        ),
        recipe=Recipe(name="nnunet", forced_foreground=0.33),
        seed=seed,
    )
    opened = [stored(name, previous=previous) for name in cases]
    return AugmentedSource(opened, plan, configuration, fold=fold, held_out=opened[:1])


@pytest.mark.parametrize("changes", [{}, FLAT, {"previous": True}, {"masked": True, "patch_size": (8, 16, 16)}])
def test_a_batch_depends_on_its_number_alone(changes):
    first, second = make(**changes), make(**changes)
    for number in (5, 0, 3):
        second.batch(number)
    for number in range(6):
        a, b = first.batch(number), second.batch(number)
        assert np.array_equal(a.inputs, b.inputs)
        assert np.array_equal(a.labels, b.labels)
        assert a.cases == b.cases == first.names_of(number)
    assert isinstance(first, BatchSource)
    assert a.inputs.shape == (2, 3 if changes.get("previous") else 1, *first.sampler.patch_size)
    assert a.labels.shape == (2, *first.sampler.patch_size)
    assert np.isfinite(a.inputs).all()


def test_seed_fold_and_patch_matter():
    base = make().batch(0).inputs
    assert not np.array_equal(base, make(seed=1).batch(0).inputs)
    assert not np.array_equal(base, make(fold=1).batch(0).inputs)
    more = make(batch_size=5).batch(0).inputs
    assert len({patch.tobytes() for patch in more}) == 5


def test_chance_and_threads_are_as_before():
    np.random.seed(3)  # noqa: NPY002 - what is to be kept
    torch.manual_seed(4)
    threads = torch.get_num_threads()
    expected = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    make().batch(0)
    assert np.array_equal(np.random.get_state()[1], expected[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), expected[1])
    assert torch.get_num_threads() == threads


def test_chance_and_threads_are_as_before_after_an_error_too():
    def fail():
        with alone(np.random.default_rng(0)):
            assert torch.get_num_threads() == 1
            raise KeyError

    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises(KeyError):
        fail()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("changes", "load_size", "degrees"),
    [
        ({"patch_size": (128, 128, 128)}, (205, 205, 205), 30),
        ({"patch_size": (20, 320, 256)}, (20, 376, 376), 180),
        ({"patch_size": (4, 16, 12)}, (4, 18, 18), 180),
        (FLAT, (1, 23, 23), 180),
        (FLAT | {"patch_size": (1, 32, 20)}, (1, 42, 23), 15),
    ],
)
def test_load_sizes(changes, load_size, degrees):
    geometry = geometry_of(tiny_configuration(**changes))
    assert geometry.load_size == load_size
    assert geometry.angle_rad == pytest.approx(radians(degrees))


def test_a_quarter_turn_is_the_most_that_counts():
    assert turned_size((320, 256), radians(180)) == turned_size((320, 256), radians(90)) == (376, 376)


def test_validation_is_not_altered():
    source = make(masked=True)
    batch = source.validation_batch(0)
    assert batch.cases == ("a", "a")
    assert set(batch.inputs.ravel()) <= {0.0} | set(stored("a").image.ravel())


def test_masked_channels_are_zero_outside_the_mask():
    """Rows 0 to 2 of the cases are outside; without the mask they hold intensities."""

    def zeros(source):
        return np.mean([(source.batch(i).inputs == 0).mean() for i in range(20)])

    assert zeros(make(masked=True)) > zeros(make()) + 0.02


def test_blur_leaves_axes_alone_that_are_too_short():
    torch.manual_seed(0)
    image = torch.randn(1, 3, 12, 12)
    found = Blur((1.0, 1.0), p_per_channel=1, benchmark=True)(image=image.clone())["image"]
    across = Blur((1.0, 1.0), p_per_channel=1, benchmark=True)(image=image.transpose(1, 2).clone())["image"]
    assert torch.allclose(found, across.transpose(1, 2), atol=1e-6)
    assert found.var() < image.var() / 2


def one_hot(*masks):
    image = torch.zeros(1 + len(masks), 6, 12, 12)
    for channel, box in enumerate(masks, start=1):
        for part in box:
            image[(channel, *part)] = 1
    return image


def test_a_removed_component_is_small_and_whole():
    small, large = (slice(0, 2), slice(0, 2), slice(0, 2)), (slice(3, 6), slice(3, 12), slice(3, 12))
    image = one_hot([small, large])
    whole, gone = image.clone(), 0
    for seed in range(40):
        torch.manual_seed(seed)
        found = RemovedComponent(1)(image=image.clone())["image"]
        assert torch.equal(found[(1, *large)], whole[(1, *large)])  # 28% of the patch
        gone += not found[(1, *small)].any()
    assert 10 < gone < 30


def test_what_a_label_gains_the_others_lose():
    left, right = (slice(None), slice(None), slice(0, 6)), (slice(None), slice(None), slice(6, 12))
    changed = 0
    for seed in range(20):
        with alone(np.random.default_rng(seed)):
            found = Morphology(2)(image=one_hot([left], [right]))["image"]
        assert (found[1:].sum(0) <= 1).all()
        changed += not torch.equal(found, one_hot([left], [right]))
    assert changed > 5


def test_each_call_of_a_cascade_begins_anew():
    """batchgeneratorsv2's own transform goes on from the order in which it shuffled the labels before."""
    made = make_transforms(geometry_of(tiny_configuration()), (4, 16, 16), previous_labels=2)

    def call(seed):
        rng = np.random.default_rng(0)
        image = torch.from_numpy(rng.normal(size=(1, 4, 22, 22)).astype(np.float32))
        labels = torch.from_numpy(rng.integers(0, 3, (2, 4, 22, 22)).astype(np.int16))
        with alone(np.random.default_rng(seed)):
            return made(image=image, segmentation=labels)["image"]

    first = [call(seed) for seed in range(12)]
    assert all(torch.equal(call(seed), first[seed]) for seed in reversed(range(12)))


@pytest.mark.parametrize("changes", [{}, FLAT])
def test_the_recipe_for_head_ct_doubts_the_previous_stage_alone(changes):
    """What it alters depends on the batch's number; images, labels and held-out batches are the sampler's."""
    configuration = tiny_configuration(name="3d_cascade_fullres", previous_stage="3d_lowres", **changes)
    plan = tiny_plan(configuration, recipe=Recipe(name="headct", validation_batches=1))
    cases = [stored(name, previous=True) for name in ("a", "bb")]
    sampler = Sampler(cases, plan, configuration, fold=0, held_out=cases)
    source = DoubtedSource(sampler=sampler)
    assert isinstance(source, BatchSource)
    altered = 0
    for number in (7, *range(8)):
        drawn, found = sampler.batch(number), source.batch(number)
        assert found.inputs.dtype == drawn.inputs.dtype
        assert np.array_equal(found.inputs[:, :-2], drawn.inputs[:, :-2])
        assert np.array_equal(found.labels, drawn.labels)
        assert found.cases == drawn.cases == source.names_of(number)
        assert np.array_equal(found.inputs, DoubtedSource(sampler=sampler).batch(number).inputs)
        assert set(np.unique(found.inputs[:, -2:])) <= {0, 1}
        altered += not np.array_equal(found.inputs, drawn.inputs)
    assert altered > 2
    assert np.array_equal(source.validation_batch(0).inputs, sampler.validation_batch(0).inputs)
