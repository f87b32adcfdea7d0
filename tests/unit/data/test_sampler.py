"""Patches: what is forced, what stays inside, and that iteration i is always the same batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemoseg.data import BatchSource, Draw, NnunetSampler, Sampler, StoredCase, apply_draw
from hemoseg.data.pool import make_pools
from hemoseg.data.sampler import NOISE_SHARE
from hemoseg.errors import InputError
from hemoseg.plan import Recipe, Region
from plans import tiny_configuration, tiny_plan


def stored(shape, *, lesion=(2, 9, 11), seed=0, previous=False):
    hu = np.random.default_rng(seed).uniform(-20, 100, shape).astype(np.float32)
    labels = np.zeros(shape, dtype=np.uint8)
    if lesion is not None:
        labels[lesion] = 1
    return StoredCase(name=f"case{seed}", image=hu[None], labels=labels, previous=labels if previous else None)


def make(cases, *, held_out=(), **changes):
    plan = tiny_plan(tiny_configuration(**changes))
    return Sampler(cases, plan, plan.configurations[0], fold=0, held_out=held_out)


def test_a_batch_depends_on_its_number_alone():
    cases = [stored((8, 32, 32)), stored((8, 32, 32), seed=1)]
    first, second = make(cases), make(cases)
    second.batch(3)
    assert np.array_equal(first.batch(7).inputs, second.batch(7).inputs)
    assert not np.array_equal(first.batch(7).inputs, first.batch(8).inputs)


def test_a_batch_names_its_cases():
    cases = [stored((8, 32, 32), seed=i) for i in range(5)]
    batch = make(cases, batch_size=6).batch(0)
    assert len(batch.cases) == 6
    assert set(batch.cases) <= {case.name for case in cases}
    assert len(set(batch.cases)) > 1


def test_names_are_known_without_reading_a_case():
    cases = [stored((8, 32, 32), seed=i) for i in range(5)] + [ignoring((8, 32, 32), (0,), seed=5)]
    sampler = make(cases, batch_size=6)
    expected = [sampler.batch(i).cases for i in range(10)]
    for case in cases:
        case.labels[:] = 0
    assert [sampler.names_of(i) for i in range(10)] == expected


def test_validation_is_drawn_from_held_out_cases_and_not_changed():
    sampler = make([stored((8, 32, 32))], held_out=[stored((8, 32, 32), seed=1)], batch_size=4)
    assert isinstance(sampler, BatchSource)
    whole, _ = apply_draw(
        sampler.held_out.cases[0], Draw(case=0, corner=(0, 0, 0)), (8, 32, 32), tiny_plan().preparation, classes=3
    )
    windows = np.lib.stride_tricks.sliding_window_view(whole[0], sampler.patch_size)
    for number in range(10):
        batch = sampler.validation_batch(number)
        assert batch.cases == ("case1",) * 4
        assert batch.labels[:2].any(axis=(1, 2, 3)).all()
        for patch in batch.inputs[:, 0]:
            found = np.argwhere(windows[..., 0, 0, 0] == patch[0, 0, 0])
            assert any(np.array_equal(windows[tuple(at)], patch) for at in found)
    assert np.array_equal(sampler.validation_batch(3).inputs, sampler.validation_batch(3).inputs)
    assert not np.array_equal(sampler.validation_batch(3).inputs, sampler.validation_batch(4).inputs)


def seen(case, *, turn_rad=0.0, zoom=1.0, corner=(0, 4, 4), size=(2, 8, 8)):
    draw = Draw(case=0, corner=corner, turn_rad=turn_rad, zoom=zoom)
    return apply_draw(case, draw, size, tiny_plan().preparation, classes=3)


def striped(shape=(2, 16, 16)):
    """HU that only grow along y, and a class on the lower half of it."""
    hu = np.broadcast_to(np.linspace(0, 60, shape[1], dtype=np.float32)[:, None], shape)
    labels = np.zeros(shape, dtype=np.uint8)
    labels[:, shape[1] // 2 :] = 1
    return StoredCase(name="striped", image=np.array(hu[None]), labels=labels, previous=labels)


def test_a_quarter_turn_is_that_of_the_patch_around_it():
    case = stored((2, 16, 16), lesion=(1, 6, 9))
    plain, labels = seen(case)
    turned, turned_labels = seen(case, turn_rad=np.pi / 2)
    assert np.allclose(turned, np.rot90(plain, -1, axes=(-2, -1)), atol=1e-5)
    assert np.array_equal(turned_labels, np.rot90(labels, -1, axes=(-2, -1)))
    assert labels.sum() == 1


def test_zooming_by_two_doubles_what_lies_in_the_middle():
    plain, labels = seen(striped())
    zoomed, zoomed_labels = seen(striped(), zoom=2.0)
    steps = np.diff(zoomed[0], axis=-2)
    assert np.allclose(steps, np.diff(plain[0], axis=-2)[0, 0, 0] / 2, atol=1e-5)
    assert steps.all()
    assert np.allclose(zoomed[0, 0, :, 0].mean(), plain[0, 0, :, 0].mean(), atol=1e-5)
    assert np.array_equal(zoomed_labels, labels)


def test_shrinking_shows_more_of_the_case_and_fills_beyond_it():
    plan = tiny_plan().preparation
    small, labels = seen(striped(), zoom=0.25)
    assert small.shape[1:] == labels.shape == (2, 8, 8)
    fill, _ = apply_draw(striped(), Draw(case=0, corner=(0, 100, 100)), (2, 8, 8), plan, classes=3)
    assert np.array_equal(small[0, :, 0], fill[0, :, 0])
    assert not labels[:, 0].any()
    assert labels[:, 5, 3].all()


def test_a_previous_stage_is_turned_with_the_label():
    inputs, labels = seen(striped(), turn_rad=0.3, zoom=1.1)
    assert np.array_equal(inputs[-2], labels == 1)
    assert 0 < labels.mean() < 1


def test_turning_and_zooming_are_drawn_evenly_up_to_the_recipe():
    plan = tiny_plan(tiny_configuration()).model_copy(update={"recipe": Recipe(turn_degrees=20, zoom=1.25)})
    sampler = Sampler([stored((8, 32, 32))], plan, plan.configurations[0], fold=0)
    generator = np.random.default_rng(0)
    draws = [sampler.draw(generator, sampler.cases, forced=False) for _ in range(800)]
    for values, most in (
        ([d.turn_rad for d in draws], np.deg2rad(20)),
        (np.log([d.zoom for d in draws]), np.log(1.25)),
    ):
        assert np.abs(values).max() <= most
        assert np.abs(np.mean(values)) < most / 12
        assert abs(np.std(values) - most / np.sqrt(3)) < most / 15


def test_without_turning_draws_are_those_of_a_recipe_that_does_not_know_it():
    def first(recipe):
        plan = tiny_plan(tiny_configuration()).model_copy(update={"recipe": recipe})
        sampler = Sampler([stored((8, 32, 32))], plan, plan.configurations[0], fold=0)
        return sampler.draw(np.random.default_rng(5), sampler.cases, forced=True)

    plain, turned = first(Recipe()), first(Recipe(turn_degrees=20, zoom=1.25))
    assert (plain.turn_rad, plain.zoom) == (0.0, 1.0)
    assert (plain.corner, plain.flips, plain.noise_seed) == (turned.corner, turned.flips, turned.noise_seed)
    assert turned.turn_rad != 0
    assert turned.zoom != 1


def test_without_held_out_cases_there_is_no_validation():
    with pytest.raises(InputError, match="no case is held out"):
        make([stored((8, 32, 32))]).validation_batch(0)


def test_ignored_voxels_of_held_out_cases_count_too():
    assert make([stored((8, 32, 32))], held_out=[ignoring((8, 32, 32), (0,), seed=1)]).ignore == 3


@pytest.mark.parametrize(("ignores", "number"), [(True, 3), (False, None)])
def test_a_label_for_ignored_voxels_counts_in_a_fold_without_any(ignores, number):
    """As in nnU-Net: the loss of regions depends on it, and all folds have the same."""
    plan = tiny_plan(tiny_configuration(), ignores=ignores)
    cases = [stored((8, 32, 32))]
    assert Sampler(cases, plan, plan.configurations[0], fold=0).ignore == number
    assert NnunetSampler(cases, plan, plan.configurations[0], fold=0, load_size=(4, 16, 16)).ignore == number


def test_the_first_half_of_a_batch_contains_foreground():
    sampler = make([stored((8, 64, 64)), stored((8, 64, 64), lesion=None, seed=1)], batch_size=4)
    for iteration in range(30):
        labels = sampler.batch(iteration).labels
        assert labels[0].any()
        assert labels[1].any()


def test_cases_without_foreground_are_no_obstacle():
    assert not make([stored((8, 32, 32), lesion=None)]).batch(0).labels.any()


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(1, 40)),
    st.integers(0, 1000),
    st.booleans(),
)
@settings(max_examples=60)
def test_a_patch_lies_inside_or_covers_the_case(shape, seed, forced):
    lesion = tuple(n - 1 for n in shape)
    sampler = make([stored(shape, lesion=lesion)])
    draw = sampler.draw(np.random.default_rng(seed), sampler.cases, forced=forced)
    for start, size, patch in zip(draw.corner, shape, sampler.patch_size, strict=True):
        assert 0 <= start <= size - patch or (patch >= size and start <= 0 and start + patch >= size)


def test_random_patches_reach_both_ends():
    sampler = make([stored((5, 17, 17))])
    corners = {sampler.draw(np.random.default_rng(i), sampler.cases, forced=False).corner for i in range(200)}
    assert corners == {(z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1)}


def test_mirroring_keeps_to_its_axes():
    sampler = make([stored((8, 32, 32))])
    flips = [sampler.draw(np.random.default_rng(i), sampler.cases, forced=False).flips for i in range(200)]
    assert not any(z or y for z, y, _ in flips)
    assert 60 < sum(x for _, _, x in flips) < 140


def test_three_in_ten_patches_get_noise():
    sampler = make([stored((8, 32, 32))])
    noisy = sum(sampler.draw(np.random.default_rng(i), sampler.cases, forced=False).noise_hu > 0 for i in range(1000))
    assert noisy / 1000 == pytest.approx(NOISE_SHARE, abs=0.05)


def test_applying_a_draw_by_hand():
    case = stored((2, 4, 4), lesion=(0, 0, 0))
    plan = tiny_plan()
    draw = Draw(case=0, corner=(0, 0, 0), flips=(False, False, True), shift_hu=0.0, noise_hu=0.0, noise_seed=0)
    channels, labels = apply_draw(case, draw, (2, 4, 4), plan.preparation, classes=3)
    assert labels[0, 0, 3] == 1
    assert channels[1, 0, 0] == pytest.approx(case.image[0, 0, 0, ::-1] / 60 - 2 / 3, abs=1e-5)


def test_beyond_its_borders_a_case_is_the_lowest_hu_and_background():
    case = stored((2, 4, 4), lesion=(0, 0, 0))
    draw = Draw(case=0, corner=(0, -1, -2), flips=(False, False, False), shift_hu=0.0, noise_hu=0.0, noise_seed=0)
    channels, labels = apply_draw(case, draw, (2, 6, 7), tiny_plan().preparation, classes=3)
    assert (channels[:, :, [0, 5]] == -1).all()
    assert (channels[:, :, :, [0, 1, 6]] == -1).all()
    assert not labels[:, [0, 5]].any()
    assert labels[0, 1, 2] == 1


@pytest.mark.parametrize("turn_rad", [0.0, 0.2])
def test_beyond_its_slices_a_case_goes_on_as_they_are(turn_rad):
    case = stored((2, 4, 4), lesion=(0, 1, 1), previous=True)
    plan = tiny_plan().preparation
    seen = [
        apply_draw(case, Draw(case=0, corner=(first, 0, 0), turn_rad=turn_rad), (size, 4, 4), plan, classes=3)
        for first, size in [(0, 2), (-1, 5)]
    ]
    for own, grown in zip(*seen, strict=True):
        axis = own.ndim - 3
        assert np.array_equal(grown, np.take(own, [0, 0, 1, 1, 1], axis=axis))
    assert seen[1][1][0, 1, 1] == 1


def test_a_previous_stage_adds_one_channel_per_class():
    case = stored((2, 4, 4), lesion=(0, 0, 0), previous=True)
    draw = Draw(case=0, corner=(0, 0, 0), flips=(False, False, True), shift_hu=9.0, noise_hu=0.0, noise_seed=0)
    channels, labels = apply_draw(case, draw, (2, 4, 4), tiny_plan().preparation, classes=3)
    assert channels.shape == (4, 2, 4, 4)
    assert np.array_equal(channels[2], labels == 1)


def ignoring(shape, ignored, **changes):
    """A case with the number after the last class of a tiny plan in a box."""
    case = stored(shape, **changes)
    case.labels[ignored] = 3
    return case


def test_patches_lie_around_voxels_that_somebody_labeled():
    shape, labeled = (10, 64, 64), (slice(3, 5), slice(8, 11), slice(50, 64))
    case = ignoring(shape, ..., lesion=None)
    case.labels[labeled] = 0
    sampler = make([case, ignoring((8, 32, 32), ..., lesion=None, seed=1)])
    assert sampler.ignore == 3
    held = np.zeros(shape, dtype=bool)
    for seed in range(300):
        draw = sampler.draw(np.random.default_rng(seed), sampler.cases, forced=seed % 2 == 0)
        assert draw.case == 0  # nothing is to be learned from the other
        box = tuple(slice(a, a + n) for a, n in zip(draw.corner, sampler.patch_size, strict=True))
        assert (case.labels[box] == 0).any()
        held[box] |= case.labels[box] == 0
    assert np.array_equal(held, case.labels == 0)  # and every labeled voxel is met


def test_every_labeled_voxel_is_as_likely():
    case = ignoring((3, 4, 5), ..., lesion=None)
    case.labels[0, 0, 4] = case.labels[1, 2, 1:3] = case.labels[2, 3, 4] = 0
    sampler = make([case])
    found = [tuple(sampler.cases.labeled_voxel(np.random.default_rng(i), 0)) for i in range(2000)]
    counts = {place: found.count(place) / len(found) for place in set(found)}
    assert counts == {place: pytest.approx(0.25, abs=0.04) for place in ((0, 0, 4), (1, 2, 1), (1, 2, 2), (2, 3, 4))}


def test_ignored_voxels_are_never_forced_and_keep_their_number():
    case = ignoring((8, 64, 64), (slice(0, 4),), lesion=(6, 9, 11))
    sampler = make([case], batch_size=4)
    seen = set()
    for iteration in range(30):
        labels = sampler.batch(iteration).labels
        assert (labels[:2] == 1).any(axis=(1, 2, 3)).all()
        seen |= set(np.unique(labels).tolist())
    assert seen == {0, 1, 3}


def test_cases_without_ignored_voxels_are_drawn_as_ever():
    """The same draws for a case, whether another one ignores voxels or not."""
    plain = [stored((8, 32, 32)), stored((8, 32, 32), seed=1)]
    mixed = [plain[0], ignoring((8, 32, 32), (0, 0, 0), seed=1)]
    first, second = make(plain), make(mixed)
    assert (first.ignore, second.ignore) == (None, 3)
    for seed in range(40):
        a, b = (one.draw(np.random.default_rng(seed), one.cases, forced=False) for one in (first, second))
        assert a.case == b.case
        assert a.case == 1 or a == b


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(InputError, match="every voxel of every case is ignored"):
        make([ignoring((8, 32, 32), ...)])


def test_of_two_sides_the_one_without_labels_is_named():
    labeled, unlabeled = stored((8, 32, 32)), ignoring((8, 32, 32), ...)
    for cases, held_out, where in (
        ([unlabeled], [labeled], "fold 1"),
        ([labeled], [unlabeled], "held-out cases of fold 1"),
    ):
        with pytest.raises(InputError) as raised:
            make_pools(cases, held_out, tiny_plan(tiny_configuration()).table, fold=1, ignores=True)
        assert raised.value.where == where


def test_a_forced_patch_is_of_a_region_drawn_evenly():
    """Half of the patches are forced onto the one voxel of the core, beside 99 others of the whole."""
    case = stored((8, 160, 160), lesion=None)
    case.labels[0, :10, :10] = 2
    case.labels[0, 0, 0], case.labels[4, 150, 150] = 2, 1
    regions = (Region(labels=(1, 2), paint=2), Region(labels=(1,), paint=1))
    plan = tiny_plan(tiny_configuration(batch_size=1), regions=regions)
    sampler = Sampler([case], plan, plan.configurations[0], fold=0)
    held = np.mean([(sampler.batch(i).labels == 1).any() for i in range(400)])
    assert held == pytest.approx(1 / 2 + 1 / 2 / 101, abs=0.08)
