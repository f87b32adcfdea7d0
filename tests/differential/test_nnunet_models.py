"""Imported models against nnU-Net's own predictor, and exported ones in it.

What nnU-Net made of small models with weights by a formula is in tests/golden, so that the proof runs everywhere;
`--update-golden` asks nnU-Net again. With `make peers`, nnU-Net's trainer makes models and its predictor runs ours.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nnunet_models as small
from hemoseg.geometry import Orientation, uniform_slices
from hemoseg.inference import Model, load_model
from hemoseg.inference.sliding import tile_logits
from hemoseg.inference.tiles import tile_corners, tile_weights
from hemoseg.interop import export_model, import_model
from hemoseg.io import read_labels, read_scan, write_scan
from hemoseg.preprocess import prepare, prepare_cascade
from hemoseg.windows import one_hot
from planner_peer import PYTHON

GOLDEN = Path(__file__).parents[1] / "golden" / "nnunet-models.npz"
CLOSE = 1e-4
"""Logits of a patch differ by no more than this."""
THINNED = (slice(None), slice(None), slice(None, None, 3), slice(None, None, 5))
"""What is kept of arrays of a patch, axes (c, z, y, x): a golden has to be small."""
WIDE = {"2d": [192, 192], "3d_fullres": [16, 192, 192], "3d_lowres": [16, 128, 128]}
"""Patches for scans of usual size."""
needs_peer = pytest.mark.skipif(not PYTHON.is_file(), reason="no nnunetv2: make peers")


def peer_answer(out: Path, name: str) -> dict[str, np.ndarray]:
    """What nnU-Net made with a configuration: arrays of a patch with axes (c, z, y, x), corners, and the mask."""
    with np.load(out / name / "scan.npz") as stored:
        answer = dict(stored)
    if answer["patch"].ndim == 3:  # a plane has no z
        answer |= {key: answer[key][:, None] for key in ("patch", "logits")}
        answer["weights"] = answer["weights"][None]
    answer["mask"], _ = read_labels(out / name / "scan.nii.gz")
    return answer


def check_agrees(bundle: Path, scan: Path, answers: dict[str, dict[str, np.ndarray]]) -> None:
    """Input, tiles, weights, logits and the mask are nnU-Net's, the mask but for the rounding of float32 sums."""
    model, volume = load_model(bundle, exact=True), read_scan(scan)
    for stage in model.stages:
        theirs, item = answers[stage.configuration.name], stage.configuration
        if item.previous_stage is None:
            prepared, labels = prepare(volume, model.plan.preparation, item.spacing_mm), None
        else:
            before = answers[item.previous_stage]["mask"].astype(np.uint8)
            prepared, labels = prepare_cascade(volume, before, model.plan.preparation, item.spacing_mm)
        size = [max(pair) for pair in zip(prepared.shape, item.patch_size, strict=True)]
        assert np.array_equal(tile_corners((size[0], size[1], size[2]), item.patch_size), theirs["corners"])
        weights = tile_weights(item.patch_size)
        logits = tile_logits(theirs["patch"][None], stage.networks, item.mirror_axes)[0]
        if "image" in theirs:
            assert np.abs(prepared.image - theirs["image"][:1]).max() < CLOSE
            assert labels is None or np.array_equal(one_hot(labels, len(theirs["image"])), theirs["image"][1:])
        else:
            weights, logits = weights[THINNED[1:]], logits[THINNED]
        assert np.allclose(weights, theirs["weights"], rtol=0, atol=1e-6)
        assert np.abs(logits - theirs["logits"]).max() < CLOSE
    mask = answers[model.stages[-1].configuration.name]["mask"]
    assert len(np.unique(mask)) > 1
    assert (model.segment(volume).labels != mask).mean() < 5e-4


@pytest.mark.parametrize("kind", small.KINDS)
def test_an_imported_model_predicts_what_nnunet_predicts(kind, tmp_path, golden_answers):
    folder = small.write_results(tmp_path / "results", kind)
    import_model(folder, tmp_path / "bundle")
    scan = tmp_path / "scan_0000.nii.gz"
    small.write_small_scan(scan, is_odd=small.KINDS[kind].get("is_odd", False))
    check_agrees(tmp_path / "bundle", scan, golden_answers[kind])


@pytest.mark.parametrize("name", small.ENSEMBLES)
def test_an_ensemble_predicts_what_nnunets_predicts(name, tmp_path, golden_answers):
    first, *others = (small.write_results(tmp_path / "results", kind) for kind in small.ENSEMBLES[name])
    made = import_model(first, tmp_path / "bundle", others=others)
    assert len(made.configurations) == 2
    small.write_small_scan(tmp_path / "scan.nii.gz")
    model, volume = load_model(tmp_path / "bundle", exact=True), read_scan(tmp_path / "scan.nii.gz")
    mask = golden_answers["ensemble"][name]["mask"]
    assert len(np.unique(mask)) > 1
    alone = [golden_answers[kind][small.KINDS[kind]["configurations"][-1]]["mask"] for kind in small.ENSEMBLES[name]]
    assert all((mask != one).any() for one in alone)
    assert (model.segment(volume).labels != mask).mean() < 5e-4


@pytest.fixture(scope="module")
def golden_answers(request, tmp_path_factory):
    """{kind: {configuration: what nnU-Net made}}; of the kind `ensemble`, {its name: the same}."""
    if request.config.getoption("--update-golden") and PYTHON.is_file():
        _ask(tmp_path_factory.mktemp("peer"))
    answers: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    with np.load(GOLDEN) as stored:
        for key, array in stored.items():
            kind, name, what = key.split("/")
            answers.setdefault(kind, {}).setdefault(name, {})[what] = array
    return answers


def _ask(folder: Path) -> None:
    """Write the golden anew."""
    scan, odd = folder / "scan_0000.nii.gz", folder / "odd" / "scan_0000.nii.gz"
    small.write_small_scan(scan)
    small.write_small_scan(odd, is_odd=True)
    jobs = []
    for kind, model in small.KINDS.items():
        small.write_results(folder / "results", kind)
        given = odd if model.get("is_odd") else scan
        jobs += small.peer_jobs(kind, folder / "results", given, folder / "out" / kind)
    jobs += [small.ensemble_job(name, folder / "results", scan, folder / "out") for name in small.ENSEMBLES]
    small.run_peer(jobs, folder)
    arrays = {}
    for name in small.ENSEMBLES:
        arrays[f"ensemble/{name}/mask"], _ = read_labels(folder / "out" / "ensemble" / name / "scan.nii.gz")
    for kind, model in small.KINDS.items():
        for name in model["configurations"]:
            answer = peer_answer(folder / "out" / kind, name)
            del answer["image"]
            answer |= {"logits": answer["logits"][THINNED], "weights": answer["weights"][THINNED[1:]]}
            answer["corners"] = answer["corners"].astype(np.uint8)
            arrays |= {f"{kind}/{name}/{key}": array for key, array in answer.items()}
    np.savez_compressed(GOLDEN, **arrays)


@needs_peer
@pytest.mark.slow
def test_models_of_the_real_trainer_come_and_go(tmp_path):
    """Checkpoints that nnU-Net's trainer wrote; then nnU-Net runs what we export, and gives the same mask."""
    scan = tmp_path / "scan_0000.nii.gz"
    small.write_small_scan(scan)
    jobs = []
    kinds = ("plain", "residual", "plane", "region-cascade")
    for kind in kinds:
        jobs += small.train_jobs(kind, tmp_path / "results")
        jobs += small.peer_jobs(kind, tmp_path / "results", scan, tmp_path / "theirs" / kind)
    small.run_peer(jobs, tmp_path)
    jobs = []
    for kind in kinds:
        names = small.KINDS[kind]["configurations"]
        import_model(small.results(tmp_path / "results", kind, names[-1]), tmp_path / "bundles" / kind)
        answers = {name: peer_answer(tmp_path / "theirs" / kind, name) for name in names}
        check_agrees(tmp_path / "bundles" / kind, scan, answers)
        export_model(tmp_path / "bundles" / kind, small.results(tmp_path / "back", kind, names[-1]).parent)
        jobs += small.peer_jobs(kind, tmp_path / "back", scan, tmp_path / "again" / kind)
    small.run_peer(jobs, tmp_path)
    for job in jobs:
        again, _ = read_labels(Path(f"{job['out']}.nii.gz"))
        before, _ = read_labels(Path(f"{job['out']}.nii.gz".replace("/again/", "/theirs/")))
        assert np.array_equal(again, before), job["out"]


@needs_peer
@pytest.mark.slow
def test_scans_of_one_and_two_slices_get_nnunets_masks(tmp_path):
    """Fewer than a patch has, in planes and in both stages of a cascade."""
    small.write_small_scan(tmp_path / "whole.nii.gz")
    whole, jobs, bundles = read_scan(tmp_path / "whole.nii.gz"), [], {}
    for kind in ("plane", "cascade"):
        bundles[kind] = tmp_path / "bundles" / kind
        import_model(small.write_results(tmp_path / "results", kind), bundles[kind])
    for count in (1, 2):
        grid = replace(whole.grid, shape=(count, *whole.grid.shape[1:]))
        scan = tmp_path / str(count) / "scan_0000.nii.gz"
        slices = uniform_slices(grid)
        write_scan(scan, replace(whole, hu=whole.hu[4 : 4 + count], grid=grid, slices=slices, nifti_header=None))
        for kind in bundles:
            jobs += small.peer_jobs(kind, tmp_path / "results", scan, tmp_path / str(count) / kind)
    small.run_peer(jobs, tmp_path)
    for kind, bundle in bundles.items():
        model, last = load_model(bundle, exact=True), small.KINDS[kind]["configurations"][-1]
        for count in (1, 2):
            found = model.segment(read_scan(tmp_path / str(count) / "scan_0000.nii.gz", least_slices=1)).labels
            theirs, _ = read_labels(tmp_path / str(count) / kind / last / "scan.nii.gz")
            assert found.shape == theirs.shape == (count, *whole.grid.shape[1:])
            assert len(np.unique(theirs)) > 1
            assert (found != theirs).sum() <= 1, (kind, count)


@needs_peer
@pytest.mark.slow
def test_scans_with_axes_in_any_order_get_the_masks_of_readers_that_turn_them(tmp_path):
    """A straight scan, and one askew; what networks see is compared voxel by voxel."""
    small.write_small_scan(tmp_path / "straight.nii.gz")
    small.write_small_scan(tmp_path / "askew.nii.gz", is_odd=True)
    turns = [((0, 1, 2), (False, True, True)), ((2, 1, 0), (True, False, False)), ((1, 0, 2), (False, False, True))]
    kinds, jobs, scans = ("turned", "turned-by-itk"), [], {}
    for kind in kinds:
        import_model(small.write_results(tmp_path / "results", kind), tmp_path / "bundles" / kind)
    for name in ("straight", "askew"):
        volume = read_scan(tmp_path / f"{name}.nii.gz")
        for index, (axes, flips) in enumerate(turns):
            turn = Orientation(axes=axes, flips=flips)
            hu, grid = np.ascontiguousarray(turn.apply(volume.hu)), volume.grid.reoriented(turn)
            scan = tmp_path / f"{name}-{index}" / "scan_0000.nii.gz"
            scan.parent.mkdir()
            slices = uniform_slices(grid)
            write_scan(scan, replace(volume, hu=hu, grid=grid, slices=slices, nifti_header=None))
            scans[scan.parent.name] = scan
            for kind in kinds:
                jobs += small.peer_jobs(kind, tmp_path / "results", scan, tmp_path / "theirs" / scan.parent.name / kind)
    small.run_peer(jobs, tmp_path)
    for name, scan in scans.items():
        for kind in kinds:
            configurations = small.KINDS[kind]["configurations"]
            answers = {item: peer_answer(tmp_path / "theirs" / name / kind, item) for item in configurations}
            check_agrees(tmp_path / "bundles" / kind, scan, answers)


@needs_peer
@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("number", "kind"), [(0, "plain"), (1, "plane"), (2, "cascade")])
def test_the_mask_of_a_real_scan_is_nnunets(number, kind, data, tmp_path):
    """Untrained networks, whose classes are close everywhere.

    A cascade's second stage is given theirs of the first: the few voxels that differ there would change more.
    """
    jobs = small.train_jobs(kind, tmp_path / "results", patches=WIDE)
    scan = sorted((data / "phe-sich" / "imagesTr").glob("*_0000.nii.gz"))[number]
    jobs += small.peer_jobs(kind, tmp_path / "results", scan, tmp_path / "theirs")
    small.run_peer(jobs, tmp_path)
    last = small.KINDS[kind]["configurations"][-1]
    import_model(small.results(tmp_path / "results", kind, last), tmp_path / "bundle")
    model, volume, previous = load_model(tmp_path / "bundle", exact=True), read_scan(scan), None
    name = scan.name.removesuffix("_0000.nii.gz")
    for stage in model.stages:
        alone = Model(model.plan, (stage,), model.identity, mirror=model.mirror, exact=True)
        ours = alone.segment(volume, previous=previous).labels
        theirs, _ = read_labels(tmp_path / "theirs" / stage.configuration.name / f"{name}.nii.gz")
        print(f"{stage.configuration.name} {name}: {(ours != theirs).sum()} of {ours.size} voxels differ")
        assert (ours != theirs).mean() < 1e-5
        previous = theirs.astype(np.uint8)
