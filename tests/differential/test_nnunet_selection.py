"""nnU-Net's choice of a configuration and of its post-processing, and ours, for the same predictions."""

import json
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hemoseg.datasets import Case
from hemoseg.io import write_mask, write_scan
from hemoseg.labels import LabelTable
from hemoseg.pipeline import Silent
from hemoseg.pipeline.select import Work, evaluate_wanted
from hemoseg.postprocess import KeepLargest, Probabilities, write_probabilities
from hemoseg.scale import make_executor
from hemoseg.selection import candidate_names, choose, search_rules
from planner_peer import PYTHON, ROOT
from plans import head_volume, tiny_configuration, tiny_plan

pytestmark = pytest.mark.skipif(not PYTHON.is_file(), reason="no nnunetv2: make peers")
REQUESTS = 16
WITH_REGIONS = 4
"""More requests, in which one class is a part of the other."""
CASES = 6
SHAPE = (5, 18, 16)
NAMES = ("2d", "3d_fullres", "3d_lowres")
PARTS = 64
"""Probabilities are multiples of 1 / PARTS, so that their mean is exact on both sides."""


def blob(rng: np.random.Generator, size: int) -> tuple[slice, ...]:
    """A box of at most this size, somewhere."""
    sizes = [int(rng.integers(1, min(size, n) + 1)) for n in SHAPE]
    corner = [int(rng.integers(0, n - size + 1)) for n, size in zip(SHAPE, sizes, strict=True)]
    return tuple(slice(at, at + size) for at, size in zip(corner, sizes, strict=True))


def noisy(rng: np.random.Generator, labels: np.ndarray, classes: int, islands: float) -> np.ndarray:
    """A prediction: the reference with errors, and islands that a largest component would remove."""
    found = labels.copy()
    for _ in range(rng.poisson(islands)):
        found[blob(rng, 2)] = rng.integers(1, classes + 1)
    flip = rng.random(SHAPE) < 0.01
    found[flip] = rng.integers(0, classes + 1, int(flip.sum()))
    return found


def probabilities(rng: np.random.Generator, labels: np.ndarray, classes: int) -> np.ndarray:
    """Shares of each class, background first, the largest mostly that of the label."""
    rest = rng.multinomial(24, [1 / (classes + 1)] * (classes + 1), size=SHAPE)
    parts = rest + (PARTS - 24) * np.eye(classes + 1, dtype=int)[labels] * (rng.random(SHAPE) < 0.97)[..., None]
    parts[..., 0] += PARTS - parts.sum(axis=-1)
    return np.moveaxis(parts / PARTS, -1, 0).astype(np.float32)


def write_request(folder: Path, seed: int) -> tuple[LabelTable, list[Work]]:
    """Predictions for both sides."""
    rng = np.random.default_rng(seed)
    nested = seed >= REQUESTS
    classes = 2 if nested else int(rng.integers(1, 4))
    names = NAMES[: int(rng.integers(1, 4))]
    table = LabelTable(("background", *(f"class{number}" for number in range(1, classes + 1))))
    if nested:
        table = replace(table, regions=((1, 2), (2,)), paint=(1, 2))
    volume = head_volume(SHAPE)
    image = folder / "image.nii.gz"
    write_scan(image, volume)
    islands = rng.choice([0.0, 0.5, 2.0], len(names))
    works = []
    for number in range(CASES):
        name, fold = f"case_{number}", number % 2
        reference = np.zeros(SHAPE, dtype=np.uint8)
        for label in rng.permutation(classes) + 1:
            if rng.random() < 0.8:
                reference[blob(rng, 8)] = label
        write_mask(folder / "references" / f"{name}.nii.gz", reference, volume)
        masks, stored = {}, {}
        for config, count in zip(names, islands, strict=True):
            shares = probabilities(rng, noisy(rng, reference, classes, count), classes)
            if nested:
                shares = np.stack([shares[1] + shares[2], shares[2]])
            place = folder / config / f"fold_{fold}" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            masks[config], stored[config] = place.with_name(f"{name}.nii.gz"), place.with_name(f"{name}.npz")
            np.save(place.with_name(f"{name}.npy"), shares)
            found = Probabilities.of(shares[-classes:])
            write_probabilities(stored[config], found)
            write_mask(masks[config], found.labels(paint=table.paint), volume)
        case = Case(name=name, image=image, label=folder / "references" / f"{name}.nii.gz", patient=name)
        works.append(Work(case=case, table=table, masks=masks, probabilities=stored, wanted=()))
    request = {"configurations": names, "folds": [0, 1], "labels": table.entry, "order": list(table.paint)}
    (folder / "request.json").write_text(json.dumps(request))
    return table, works


def test_choice_and_rules_are_nnunets(tmp_path: Path) -> None:
    made = [write_request(tmp_path / "requests" / f"{seed:02d}", seed) for seed in range(REQUESTS + WITH_REGIONS)]
    command = [str(PYTHON), str(ROOT / "tools" / "nnunet_select_peer.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    seen: Counter[str] = Counter()
    executor = make_executor(1, log=tmp_path / "workers.log")
    for (table, works), theirs in zip(made, json.loads(done.stdout), strict=True):
        owners = [work.case.name for work in works]

        def scores(wanted, works=works, owners=owners):
            return evaluate_wanted(executor, works, wanted, "dice", owners, Silent())

        plan = tiny_plan(*(tiny_configuration(name=name) for name in works[0].masks))
        candidates = candidate_names(tuple(works[0].masks), largest=2)
        found = dict(zip(candidates, scores([(names, ()) for names in candidates]), strict=True))
        assert [one.score for one in found.values()] == pytest.approx(theirs["results"], abs=1e-12)
        best, _, _ = choose(plan, found, "nnunet")
        assert list(best) == theirs["best"]
        rules, _ = search_rules(
            "nnunet",
            tuple(table.members),
            lambda sets, best=best, scores=scores: scores([(best, rules) for rules in sets]),
            with_skull=True,
            patients=CASES,
        )
        assert [numbers(rule, table) for rule in rules] == theirs["rules"]
        (after,) = scores([(best, rules)])
        assert after.score == pytest.approx(theirs["after"], abs=1e-12)
        seen.update(
            [f"{len(best)} averaged", *(f"rule for {len(rule.classes)} of {len(table.names) - 1}" for rule in rules)]
        )
        seen["rule for regions"] += len(rules) if table.regions else 0
    assert {"1 averaged", "2 averaged"} <= set(seen), seen
    assert sum("rule" in name for name in seen) >= 3, seen
    assert seen["rule for regions"], seen


def numbers(rule: KeepLargest, table: LabelTable) -> list[int]:
    """The classes of a rule as nnU-Net numbers them."""
    return sorted({number for name in rule.classes for number in table.members[name]})
