"""Parts of batches: what a rank makes is the whole's, and it makes no other patch."""

import numpy as np
import pytest

from hemoseg.data import NnunetSampler, Sampler, StoredCase, sampler
from hemoseg.plan import Channel, Recipe
from hemoseg.training.augment import AugmentedSource, DoubtedSource
from plans import tiny_configuration, tiny_plan, tiny_preparation

PATCHES = 5
PARTS = (slice(0, 2), slice(2, 5), slice(4, 5), slice(None))


def stored(name, *, previous=False):
    generator = np.random.default_rng(len(name))
    image = generator.normal(40, 20, (1, 9, 40, 36)).astype(np.float32)
    labels = np.zeros((9, 40, 36), dtype=np.uint8)
    labels[2:6, 10:20, 12:22] = 1
    return StoredCase(name=name, image=image, labels=labels, previous=labels if previous else None)


def nnunet():
    channels = (Channel(name="CT", normalization="zscore"),)
    plan = tiny_plan(
        tiny_configuration(batch_size=PATCHES),
        preparation=tiny_preparation(windowed="first", channels=channels),
        recipe=Recipe(name="nnunet", forced_foreground=0.33),
    )
    cases = [stored(name) for name in ("a", "bb", "ccc")]
    return AugmentedSource(cases, plan, plan.configurations[0], fold=0, held_out=cases[:1])


def headct(*, previous=False):
    changes = {"name": "3d_cascade_fullres", "previous_stage": "3d_lowres"} if previous else {}
    configuration = tiny_configuration(batch_size=PATCHES, **changes)
    plan = tiny_plan(configuration, recipe=Recipe(turn_degrees=20.0, zoom=1.2))
    cases = [stored(name, previous=previous) for name in ("a", "bb", "ccc")]
    return Sampler(cases, plan, configuration, fold=0, held_out=cases[:2])


SOURCES = {"nnunet": nnunet, "headct": headct, "cascade": lambda: DoubtedSource(sampler=headct(previous=True))}


@pytest.fixture
def made(monkeypatch):
    """Names of the cases of every patch that was cut."""
    names = []
    cut, apply_draw = NnunetSampler._cut, sampler.apply_draw
    monkeypatch.setattr(
        NnunetSampler, "_cut", lambda self, case, *rest: names.append(case.name) or cut(self, case, *rest)
    )
    monkeypatch.setattr(
        sampler, "apply_draw", lambda case, *rest, **more: names.append(case.name) or apply_draw(case, *rest, **more)
    )
    return names


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("ask", ["batch", "validation_batch"])
def test_a_part_is_the_wholes_and_no_other_patch_is_made(name, ask, made):
    source = SOURCES[name]()
    assert source.batch_size == PATCHES
    for number in range(4):
        whole = getattr(source, ask)(number)
        for part in PARTS:
            made.clear()
            found = getattr(source, ask)(number, part)
            assert np.array_equal(found.inputs, whole.inputs[part])
            assert np.array_equal(found.labels, whole.labels[part])
            assert found.cases == whole.cases[part] == tuple(made)
