"""Prepared arrays, labels and restored masks against nnU-Net's own, on real scans and on small made-up ones.

The real scans need `make peers` and `--data`. What nnU-Net made of the small ones is in tests/golden, so that the proof
runs everywhere; `--update-golden` asks nnU-Net again.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.io import write_mask, write_scan
from hemoseg.preprocess import prepare_case, restore
from plans import AXES_LPS

ROOT = Path(__file__).parents[2]
PEER = ROOT / ".venv-peers" / "bin" / "python"
GOLDEN = ROOT / "tests" / "golden"
SMALL = {
    "finer": {"spacing_mm": (5.0, 0.75, 0.75)},
    "slices": {"spacing_mm": (3.0, 0.8, 1.3)},
    "coarser": {"spacing_mm": (5.0, 2.0, 2.0)},
    "together": {"spacing_mm": (2.9, 1.3, 1.3), "source_mm": (2.5, 1.0, 1.0)},
    "two-d": {"spacing_mm": (0.7, 0.8), "configuration": "2d"},
    "transposed": {"spacing_mm": (0.9, 4.0, 1.2), "transpose": (1, 0, 2), "scheme": "zscore"},
    "padded": {"spacing_mm": (5.0, 0.75, 0.75), "scheme": "zscore", "corner_hu": -3024.0},
    "masked": {"spacing_mm": (4.0, 0.8, 0.8), "scheme": "zscore", "masked": True, "air_hu": 0.0},
}
"""{name: what is particular of the case}."""


@pytest.fixture
def parity(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmarks' module that runs both sides."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield import_module("nnunet_parity")
    for name in ("nnunet_parity", "parity"):
        sys.modules.pop(name, None)


def small_case(parity: ModuleType, folder: Path, name: str):
    """A made-up head of 8 x 30 x 26 voxels with two classes, written as files."""
    changes = dict(SMALL[name])
    spacing, air = changes.pop("source_mm", (5.0, 0.94, 0.94)), changes.pop("air_hu", -20.0)
    corner = changes.pop("corner_hu", air)
    shape = (8, 30, 26)
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    radius = ((z - 3.5) / 5) ** 2 + ((y - 14) / 12) ** 2 + ((x - 12) / 10) ** 2
    texture = (7 * z + 5 * y * y + 3 * x * y) % 41  # whole numbers without a pattern to speak of
    hu = np.where(radius < 1, 15.0 + texture, air).astype(np.float32)
    hu[radius > 3] = corner
    labels = (((z - 3) / 2.5) ** 2 + ((y - 11) / 5) ** 2 + ((x - 9) / 4) ** 2 < 1).astype(np.uint8)
    labels[(labels > 0) & (y > 11)] = 2
    grid = Grid(shape=shape, spacing_mm=spacing, origin_lps_mm=(0.0, 0.0, 0.0), direction=AXES_LPS)
    volume = Volume(hu=hu, grid=grid, slices=uniform_slices(grid), name=name)
    image, label = folder / f"{name}.nii.gz", folder / f"{name}-label.nii.gz"
    write_scan(image, volume)
    write_mask(label, labels, volume)
    values = {"name": name, "image": image, "label": label, "configuration": "3d_fullres"}
    return parity.ParityCase(**values | changes)


@pytest.mark.parametrize("name", SMALL)
def test_what_nnunet_made_of_small_scans_is_what_we_make(
    parity: ModuleType, tmp_path: Path, name: str, request: pytest.FixtureRequest
) -> None:
    case = small_case(parity, tmp_path, name)
    stored = GOLDEN / f"nnunet-prepared-{name}.npz"
    if request.config.getoption("--update-golden") and PEER.is_file():
        parity.run_peer(PEER, [case], tmp_path / "peer")
        kinds = ("image", "label", "logits", "mask")
        np.savez_compressed(stored, **{kind: np.load(tmp_path / "peer" / f"{name}.{kind}.npy") for kind in kinds})
    with np.load(stored) as peer:
        theirs = {kind: peer[kind] for kind in ("image", "label", "logits", "mask")}
    volume, labels = parity.read_volume(case)
    prepared, ours = prepare_case(volume, labels, case.preparation, case.target_mm, seed=0)
    assert prepared.image.shape == theirs["image"].shape
    assert np.abs(prepared.image - theirs["image"]).max() < 1e-4 * theirs["image"].std()
    assert np.array_equal(ours, theirs["label"][0])
    assert np.array_equal(restore(theirs["logits"], prepared), theirs["mask"])


@pytest.mark.data
@pytest.mark.slow
def test_real_scans_agree_but_for_ties(parity: ModuleType, data: Path, tmp_path: Path) -> None:
    if not PEER.is_file():
        pytest.skip("no .venv-peers: make peers")
    cases = list(import_module("parity").parity_cases(data, tmp_path / "scans"))
    parity.run_peer(PEER, cases, tmp_path / "peer")
    found = {case.name: parity.compare(case, tmp_path / "peer") for case in cases}
    assert len({case.image for case in cases}) >= 4
    assert [name for name, agreement in found.items() if not agreement.agrees] == []
