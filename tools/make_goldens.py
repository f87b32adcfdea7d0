"""What nnU-Net makes of fixed data, stored for the tests: plans, folds, patches and their augmentation.

Run by `make goldens`. Writes tests/golden/nnunet-planners.json, with which `tests/golden/test_nnunet_planner.py`
compares our planners, nnunet-splits.json, and for `test_nnunet_patches.py` nnunet-places.json and nnunet-augment.npz.
The data sets are invented; case counts stand for as many equal cases.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from nnunet_steps import CASES, peer_steps, summary  # noqa: E402
from planner_peer import PYTHON, Peer, expand  # noqa: E402 - the tests' folder is no package
from training_peer import CHAINS, SEEDS, digest, peer_chains, peer_places  # noqa: E402

OUT = ROOT / "tests" / "golden" / "nnunet-planners.json"
SPLITS = ROOT / "tests" / "golden" / "nnunet-splits.json"
PLACES = ROOT / "tests" / "golden" / "nnunet-places.json"
AUGMENT = ROOT / "tests" / "golden" / "nnunet-augment.npz"
PEER_DRAWS = 4000
"""Draws of one augmentation whose distribution is kept."""
STEPS = ROOT / "tests" / "golden" / "nnunet-steps.json"
SPLIT_SIZES = (5, 7, 23, 81)
CT = {"0": "CT"}
MRI = {"0": "T1", "1": "T1CE", "2": "T2", "3": "FLAIR"}
ODD = {"0": "CT", "1": "noNorm", "2": "rescale_to_0_1", "3": "rgb_to_0_1", "4": "zscore", "5": "cT"}
REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
HEAD = (512, 512)

Case = tuple[tuple[float, float, float], tuple[int, int, int], int]
"""Spacing in mm, shape, number of cases."""


def cohort(*cases: Case, training: int | None = None, **changes: Any) -> dict[str, Any]:
    """A data set; what is not said is a CT of two labels."""
    return {
        "cases": cases,
        "training": training or sum(count for _, _, count in cases),
        "channels": CT,
        "labels": 2,
        "ending": ".nii.gz",
        "relative": 1.0,
    } | changes


COHORTS: dict[str, dict[str, Any]] = {
    "head-5mm": cohort(((5.0, 0.45, 0.45), (32, *HEAD), 100)),
    "head-5mm-crop": cohort(((5.0, 0.45, 0.45), (32, 450, 380), 100)),
    "head-3mm": cohort(((3.0, 0.45, 0.45), (50, *HEAD), 30)),
    "head-2.5mm": cohort(((2.5, 0.49, 0.49), (60, *HEAD), 190), labels=6),
    "head-1mm": cohort(((1.0, 0.45, 0.45), (160, *HEAD), 100)),
    "head-0.625mm": cohort(((0.625, 0.48828125, 0.48828125), (256, *HEAD), 40)),
    "head-clipped": cohort(((5.0, 0.94, 0.94), (30, 200, 176), 29), labels=3),
    "head-two-classes": cohort(
        ((5.0, 0.94, 0.94), (30, 200, 176), 12), ((5.0, 0.86, 0.86), (28, 218, 182), 17), labels=3
    ),
    "lowres-just-dropped": cohort(((2.5, 0.5, 0.5), (60, 512, 480), 20)),
    "lowres-just-kept": cohort(((2.5, 0.5, 0.5), (64, 512, 480), 20)),
    "mixed": cohort(
        ((5.0, 0.45, 0.45), (32, *HEAD), 70),
        ((2.5, 0.45, 0.45), (64, *HEAD), 20),
        ((1.0, 0.45, 0.45), (160, *HEAD), 10),
    ),
    "mixed-even": cohort(((5.0, 0.5, 0.5), (31, 500, 480), 3), ((2.5, 0.4, 0.4), (60, 512, 512), 3)),
    "mixed-percentile": cohort(((6.0, 0.7, 0.7), (20, 300, 280), 9), ((1.5, 0.7, 0.7), (80, 300, 280), 2)),
    "mixed-percentile-fine": cohort(((6.0, 0.7, 0.7), (20, 300, 280), 8), ((0.5, 0.7, 0.7), (240, 300, 280), 2)),
    "hippocampus": cohort(((1.0, 1.0, 1.0), (36, 50, 35), 260), channels={"0": "MRI"}, labels=3),
    "brats": cohort(((1.0, 1.0, 1.0), (140, 170, 140), 484), channels=MRI, labels=4, relative=0.6),
    "brats-regions": cohort(((1.0, 1.0, 1.0), (140, 170, 140), 484), channels=MRI, labels=REGIONS, relative=0.6),
    "acdc": cohort(((10.0, 1.5, 1.5), (9, 256, 216), 200), channels={"0": "cineMRI"}, labels=4),
    "amos": cohort(((2.0, 0.68, 0.68), (150, 530, 530), 240), labels=16),
    "kits": cohort(((1.0, 0.78, 0.78), (528, 512, 512), 300), labels=4),
    "huge": cohort(((0.6, 0.35, 0.35), (512, 512, 706), 50), labels=3),
    "huge-isotropic": cohort(((0.5, 0.5, 0.5), (1200, 1200, 1200), 5)),
    "isotropic-256": cohort(((1.0, 1.0, 1.0), (256, 256, 256), 20)),
    "isotropic-64": cohort(((1.0, 1.0, 1.0), (64, 64, 64), 20)),
    "isotropic-16": cohort(((1.0, 1.0, 1.0), (16, 16, 16), 20)),
    "one-slice": cohort(((999.0, 1.0, 1.0), (1, 512, 512), 80), channels={"0": "R", "1": "G", "2": "B"}, ending=".png"),
    "one-slice-odd": cohort(((999.0, 1.0, 1.0), (1, 331, 97), 7), ending=".bmp"),
    "tif-flat": cohort(((999.0, 1.0, 1.0), (1, 256, 256), 9), channels={"0": "rgb_to_0_1"}, ending=".tif"),
    "tif-stack": cohort(((4.0, 1.0, 1.0), (40, 256, 256), 9), channels={"0": "em"}, ending=".tif"),
    "tiff": cohort(((1.0, 1.0, 1.0), (64, 256, 256), 9), channels={"0": "em"}, ending=".tiff"),
    "two-slices": cohort(((5.0, 0.5, 0.5), (2, 512, 512), 10)),
    "three-slices": cohort(((8.0, 0.5, 0.5), (3, 400, 380), 10)),
    "seven-slices": cohort(((5.0, 0.45, 0.45), (7, 512, 512), 10)),
    "eight-slices": cohort(((5.0, 0.45, 0.45), (8, 512, 512), 10)),
    "some-single": cohort(((5.0, 0.5, 0.5), (1, 300, 300), 4), ((5.0, 0.5, 0.5), (20, 300, 300), 3)),
    "tiny": cohort(((1.0, 1.0, 1.0), (5, 6, 7), 4)),
    "tiny-flat": cohort(((1.0, 1.0, 1.0), (2, 9, 8), 3)),
    "tiny-one": cohort(((1.0, 1.0, 1.0), (3, 3, 3), 1)),
    "needle": cohort(((1.0, 1.0, 1.0), (900, 12, 12), 6)),
    "plate": cohort(((1.0, 1.0, 1.0), (12, 900, 900), 6)),
    "x-coarsest": cohort(((0.5, 0.5, 5.0), (512, 512, 30), 20)),
    "y-coarsest": cohort(((0.5, 4.0, 0.5), (400, 40, 380), 20)),
    "x-coarsest-mixed": cohort(((0.5, 0.6, 5.0), (512, 480, 30), 8), ((0.5, 0.6, 1.5), (512, 480, 100), 2)),
    "ratio-3": cohort(((1.5, 0.5, 0.5), (100, 400, 400), 20)),
    "ratio-over-3": cohort(((1.5000001, 0.5, 0.5), (100, 400, 400), 20)),
    "ratio-2": cohort(((1.0, 0.5, 0.5), (200, 400, 400), 20)),
    "ratio-under-2": cohort(((0.9999, 0.5, 0.5), (200, 400, 400), 20)),
    "ratio-4-equal-voxels": cohort(((2.0, 0.5, 0.5), (300, 300, 300), 20)),
    "three-spacings": cohort(((4.0, 2.0, 1.0), (60, 120, 240), 20)),
    "three-spacings-far": cohort(((9.0, 3.0, 0.3), (40, 150, 800), 20)),
    "not-square": cohort(((3.0, 0.7, 0.5), (40, 333, 511), 21)),
    "halves": cohort(((1.0, 1.0, 1.0), (31, 45, 77), 1), ((1.0, 1.0, 1.0), (32, 46, 78), 1)),
    "halves-large": cohort(((2.0, 1.0, 1.0), (91, 245, 277), 1), ((2.0, 1.0, 1.0), (92, 246, 278), 1)),
    "one-case": cohort(((2.5, 0.8, 0.8), (90, 400, 400), 1)),
    "thousand-cases": cohort(((1.0, 1.0, 1.0), (40, 40, 40), 30), training=1000),
    "fewer-named": cohort(((3.0, 1.0, 1.0), (30, 128, 128), 30), training=3),
    "twenty-labels": cohort(((1.5, 1.5, 1.5), (220, 250, 250), 60), labels=20),
    "one-label": cohort(((1.5, 1.5, 1.5), (100, 128, 128), 10), labels=1),
    "ignore-label": cohort(((1.5, 1.5, 1.5), (100, 128, 128), 10), labels={"background": 0, "lesion": 1, "ignore": 2}),
    "regions-ignore": cohort(
        ((1.0, 1.0, 1.0), (140, 170, 140), 60), channels=MRI, labels=REGIONS | {"ignore": 4}, relative=0.7
    ),
    "odd-channels": cohort(((2.0, 1.0, 1.0), (80, 160, 160), 25), channels=ODD, labels=5, relative=0.5),
    "odd-channels-full": cohort(((2.0, 1.0, 1.0), (80, 160, 160), 25), channels=ODD, labels=5, relative=0.75),
    "ct-cropped": cohort(((2.0, 1.0, 1.0), (80, 160, 160), 25), relative=0.4),
    "nrrd": cohort(((1.25, 0.9, 0.9), (130, 320, 320), 45), ending=".nrrd"),
    "mha-upper": cohort(((1.25, 0.9, 0.9), (130, 320, 320), 45), ending=".MHA"),
    "gipl": cohort(((3.0, 0.9, 0.9), (44, 320, 320), 45), ending=".gipl"),
    "nii": cohort(((3.0, 0.9, 0.9), (44, 320, 320), 45), ending=".nii"),
    "reader-reorient": cohort(((3.0, 0.9, 0.9), (44, 320, 320), 45), reader="NibabelIOWithReorient"),
    "reader-unknown": cohort(((3.0, 0.9, 0.9), (44, 320, 320), 45), reader="MyReader"),
    "reader-none": cohort(((3.0, 0.9, 0.9), (44, 320, 320), 45), reader="None"),
    "modality": cohort(((3.0, 0.9, 0.9), (44, 320, 320), 45), modality=True),
    "stored-float32": cohort(((4.999997615814209, 0.4882810115814209, 0.4882810115814209), (33, 512, 512), 17)),
}
RESIDUAL = ("nnunet-resenc-m", "nnunet-resenc-l", "nnunet-resenc-xl")
MEMORY: dict[str, tuple[tuple[str, float], ...]] = {
    "head-5mm": (("nnunet", 2), ("nnunet", 4), ("nnunet", 11), ("nnunet", 24), ("nnunet-resenc-l", 80)),
    "head-1mm": (("nnunet", 16), ("nnunet", 40), ("nnunet-resenc-m", 6.5), ("nnunet-resenc-xl", 24)),
    "brats": (("nnunet", 2.5), ("nnunet", 80), ("nnunet-resenc-m", 24), ("nnunet-resenc-l", 10)),
    "huge": (("nnunet", 3), ("nnunet-resenc-xl", 80)),
    "one-slice": (("nnunet", 2), ("nnunet-resenc-m", 2)),
}
"""Memory targets besides the planners' own."""


def main() -> None:
    """Ask nnU-Net for every plan and write them."""
    if not PYTHON.is_file():
        sys.exit(f"{PYTHON}: no such file\n  expected: nnunetv2 in .venv-peers\n  try: make peers")
    _write_splits()
    _write_training()
    answers = []
    with Peer() as peer:
        for number, (name, facts) in enumerate(COHORTS.items()):
            plans = [("nnunet", None), (RESIDUAL[number % 3], None), *MEMORY.get(name, ())]
            for planner, memory_gb in plans:
                golden = {"name": name, "planner": planner, "memory_gb": memory_gb, **_files(facts)}
                answer = peer.plan(expand(golden))
                if "plans" not in answer:
                    sys.exit(f"{name}, {planner}: {answer['error']}")
                answers.append(golden | answer)
    lines = [json.dumps(item, sort_keys=True, separators=(",", ":")) for item in answers]
    OUT.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{len(answers)} plans of {len(COHORTS)} data sets: {OUT.stat().st_size / 1e6:.2f} MB in {OUT}")


def _write_splits() -> None:
    """nnU-Net's folds of a few cases."""
    names = [sorted(f"case_{number * 37 % size}" for number in range(size)) for size in SPLIT_SIZES]
    command = [str(PYTHON), str(ROOT / "tools" / "nnunet_splits_peer.py")]
    done = subprocess.run(  # noqa: S603 - our own script
        command, input=json.dumps(names), capture_output=True, text=True, check=True
    )
    found = [{"names": cases, "splits": splits} for cases, splits in zip(names, json.loads(done.stdout), strict=True)]
    SPLITS.write_text(json.dumps(found) + "\n")


def _write_training() -> None:
    """nnU-Net's places of patches, and what its augmentation makes of toys."""
    PLACES.write_text(json.dumps(peer_places()) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        found = peer_chains(Path(folder), draws=PEER_DRAWS)
    stored = {"rows": found["rows"].astype(np.float32)}
    for number in range(len(CHAINS)):
        pairs = [(found[f"image-{number}-{seed}"], found[f"labels-{number}-{seed}"]) for seed in range(SEEDS)]
        stored[f"digests-{number}"] = np.stack([digest(*pair) for pair in pairs])
        stored[f"load-size-{number}"] = found[f"load-size-{number}"]
    np.savez_compressed(AUGMENT, **stored)
    with tempfile.TemporaryDirectory() as folder:
        steps = peer_steps(list(CASES), Path(folder))
    rates = next(iter(steps.values()))["rates"].tolist()
    content = {"steps": {name: summary(found) for name, found in steps.items()}, "rates": rates}
    STEPS.write_text(json.dumps(content) + "\n")


def _files(facts: dict[str, Any]) -> dict[str, Any]:
    """dataset.json, and the fingerprint with equal cases written once."""
    labels = facts["labels"]
    if isinstance(labels, int):
        labels = {"background": 0} | {f"class-{number}": number for number in range(1, labels)}
    dataset = {
        "modality" if facts.get("modality") else "channel_names": facts["channels"],
        "labels": labels,
        "numTraining": facts["training"],
        "file_ending": facts["ending"],
    }
    if any(isinstance(value, list) for value in labels.values()):
        dataset["regions_class_order"] = [1, 2, 3]
    if "reader" in facts:
        dataset["overwrite_image_reader_writer"] = facts["reader"]
    return {"dataset_json": dataset, "cases": facts["cases"], "relative_size": facts["relative"]}


if __name__ == "__main__":
    main()
