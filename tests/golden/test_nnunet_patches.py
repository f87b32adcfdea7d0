"""Patches against nnU-Net's own: where they lie, and what augmentation makes of them (`make goldens`)."""

import json
from functools import cache
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hemoseg.data import NnunetSampler, StoredCase
from hemoseg.data.places import class_places, labeled_places
from hemoseg.plan import Plan, Recipe, Region
from hemoseg.training.augment.chance import alone
from hemoseg.training.augment.geometry import geometry_of
from plans import tiny_plan
from training_peer import CHAINS, MANY, PLACES, configuration, digest, our_chain, our_transforms, row_of, toy

GOLDEN = Path(__file__).parent
DRAWS = 1500
ERRORS = 5.0
"""Standard errors that two samples may differ by."""


@cache
def places() -> dict[str, Any]:
    return json.loads((GOLDEN / "nnunet-places.json").read_text())


def plan_of(request: dict[str, Any], batch_size: int = 2) -> Plan:
    regions = "core" in request["labels"]
    return tiny_plan(
        configuration(tuple(request["patch_size"])).model_copy(update={"batch_size": batch_size}),
        recipe=Recipe(name="nnunet", forced_foreground=0.33),
        regions=(Region(labels=(1, 2), paint=1), Region(labels=(2,), paint=2)) if regions else (),
    )


def sampler_of(request: dict[str, Any], batch_size: int = 2) -> NnunetSampler:
    labels = np.zeros(request["shape"], dtype=np.int8)
    for number, box in request["boxes"]:
        labels[tuple(slice(*ends) for ends in box)] = number
    image = np.zeros((1, *request["shape"]), dtype=np.float32)
    plan = plan_of(request, batch_size)
    case = StoredCase(name="a", image=image, labels=labels, previous=None)
    return NnunetSampler([case], plan, plan.configurations[0], fold=0, load_size=tuple(request["load_size"]))


def test_forced_patches_of_a_batch():
    for size, forced in enumerate(places()["forced"], start=1):
        sampler = sampler_of(PLACES[0], size)
        assert [sampler.is_forced(number) for number in range(size)] == forced


@pytest.mark.parametrize("number", range(len(PLACES)))
def test_voxels_to_force_are_those_that_preprocessing_finds(number):
    """Of every class or region, in its order; what is not ignored has the numbers from -1 on there."""
    labels = sampler_of(PLACES[number]).cases.cases[0].labels
    members = list(plan_of(PLACES[number]).table.members.values())
    ours = [[list(one.numbers), one.count] for one in class_places(labels, members)]
    ignored = PLACES[number]["labels"].get("ignore")
    if ignored is not None:
        labeled = labeled_places(labels, ignore=ignored)
        ours.append([list(labeled.numbers), labeled.count])
    found = [[np.atleast_1d(key).tolist(), count] for key, count in places()["places"][number]["locations"]]
    assert ours == [one for one in found if one[1]]


@pytest.mark.parametrize("number", range(len(PLACES)))
@pytest.mark.parametrize("kind", ["forced", "random"])
def test_places(number, kind):
    """Each place of the corner along each axis is as frequent as there, and as much lies beyond the case."""
    request, expected = PLACES[number], places()["places"][number][kind]
    sampler, rng, size = sampler_of(request), np.random.default_rng(7), tuple(request["load_size"])
    found = np.array([sampler.draw(rng, sampler.cases, size, forced=kind == "forced")[1] for _ in range(DRAWS)])
    skipped = 3 - len(expected["corners"])
    for axis, counts in enumerate(expected["corners"], start=skipped):
        peer = {int(place): count for place, count in counts.items()}
        assert set(found[:, axis]) <= set(peer)
        total = sum(peer.values())
        for place, count in peer.items():
            share = (count + (found[:, axis] == place).sum()) / (total + DRAWS)
            error = sqrt(share * (1 - share) * (1 / total + 1 / DRAWS))
            assert abs(count / total - (found[:, axis] == place).mean()) <= ERRORS * error + 1e-9, (axis, place)
    inside = np.minimum(found + size, request["shape"]) - np.maximum(found, 0)
    beyond = 1 - (inside.clip(0) / size).prod(axis=1)
    assert beyond.mean() == pytest.approx(expected["beyond"], abs=ERRORS * beyond.std() / sqrt(DRAWS) + 1e-9)


@pytest.mark.parametrize("number", range(len(CHAINS)))
def test_augmented_patches_of_the_same_seed(number):
    """As equal as the arithmetic of two machines; on one they are equal to the bit (tests/differential)."""
    with np.load(GOLDEN / "nnunet-augment.npz") as golden:
        expected, load_size = golden[f"digests-{number}"], golden[f"load-size-{number}"]
    patch_size = CHAINS[number]["patch_size"]
    assert geometry_of(configuration(patch_size)).load_size[-len(load_size) :] == tuple(load_size)
    found = np.stack([digest(*pair) for pair in our_chain(number)])
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_augmented_patches_have_the_same_distribution():
    """With our own seeds: means and deviations of what is stored of nnU-Net's draws, and their quantiles."""
    with np.load(GOLDEN / "nnunet-augment.npz") as golden:
        peer = golden["rows"]
    chain, rows = our_transforms(MANY), []
    image, labels = toy(MANY)
    for number in range(DRAWS):
        with alone(np.random.default_rng([0, 0, number, 0])):
            out = chain(image=torch.from_numpy(image.copy()), segmentation=torch.from_numpy(labels.copy()))
        rows.append(row_of(out["image"].numpy(), out["segmentation"].numpy()))
    ours = np.array(rows, dtype=np.float32)
    error = np.sqrt(peer.var(axis=0) / len(peer) + ours.var(axis=0) / len(ours))
    assert (np.abs(peer.mean(axis=0) - ours.mean(axis=0)) <= ERRORS * error).all()
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        below = (ours <= np.quantile(peer, share, axis=0)).mean(axis=0)
        at = (peer <= np.quantile(peer, share, axis=0)).mean(axis=0)
        assert np.abs(below - at).max() <= ERRORS * sqrt(0.25 * (1 / len(peer) + 1 / len(ours)))
