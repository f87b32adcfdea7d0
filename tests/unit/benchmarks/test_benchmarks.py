"""What the benchmarks count, compare and write; nothing is timed."""

import gzip
import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bundles import write_tiny_bundle
from hemoseg.artifacts import write_model
from hemoseg.datasets import index_dataset, read_case
from hemoseg.errors import InputError, ResourceError, SettingsError
from hemoseg.geometry import Grid
from hemoseg.interop import read_plans
from hemoseg.io import read_scan
from hemoseg.models import open_bundle
from hemoseg.nets import build_network
from hemoseg.pipeline.folder import RunFolder
from hemoseg.plan import Configuration
from hemoseg.planning.memory import count_weights
from hemoseg.training.loss import deep_loss
from hemoseg.windows import apply_windows
from plans import AXES_LPS, head_volume, tiny_configuration, tiny_plan

FOLDER = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """A module of the benchmarks, by name; they are scripts beside each other, no package."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name: str) -> ModuleType:
        return import_module(name)

    return load


def test_an_installation_is_as_large_as_its_files(script, tmp_path):
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    for name, size in (
        ("small/a.py", 1000),
        ("large/below/b.so", 3_000_000),
        ("pip/c.py", 5_000_000),
        ("d.py", 20_000),
    ):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_bytes(bytes(size))
    assert list(script("start_up").package_sizes_mb(tmp_path).items()) == [
        ("large", 3.0),
        ("d.py", 0.02),
        ("small", 0.001),
    ]


NETWORKS = [
    tiny_configuration(),
    tiny_configuration(
        patch_size=(4, 16, 32),
        features=(3, 5, 7),
        strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)),
        kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
        blocks=(2, 2, 2),
        decoder_blocks=(2, 2),
    ),
]


@pytest.mark.parametrize("configuration", NETWORKS)
def test_the_floor_of_a_step_counts_what_torch_counts(script, configuration: Configuration) -> None:
    network = build_network(tiny_plan(configuration), configuration)
    with FlopCounterMode(display=False) as counter:
        outputs = network(torch.zeros(configuration.batch_size, 2, *configuration.patch_size))
        loss, _ = deep_loss(outputs, torch.zeros(2, *configuration.patch_size, dtype=torch.long), pooled=True)
        loss.backward()
    counted = script("floor").step_gflop(configuration, channels=2, classes=3)
    assert counted * 1e9 == pytest.approx(counter.get_total_flops(), rel=1e-12)


@pytest.mark.parametrize("configuration", NETWORKS)
def test_the_floor_counts_what_torch_counts(script, configuration: Configuration) -> None:
    plan = tiny_plan(configuration)
    network = build_network(plan, configuration).eval()
    network.decoder.deep_supervision = False
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 2, *configuration.patch_size))
    counted = script("floor").network_gflop(configuration, channels=2, classes=3)
    assert counted * 1e9 == pytest.approx(counter.get_total_flops(), rel=1e-12)


def test_passes_are_tiles_times_mirrorings_times_folds(script, tmp_path: Path) -> None:
    bundle = open_bundle(write_tiny_bundle(tmp_path / "tiny", folds=(0, 1)))
    # Tiles of (4, 16, 16) at half steps: z 6 in 2, y 16 in 1, x 10, padded to 16, in 1. One mirror axis, two folds.
    assert script("floor").scan_passes(bundle, (6, 16, 10)) == 2 * 1 * 1 * 2 * 2


@pytest.mark.parametrize(
    ("ours", "peer", "expected"),
    [
        (range(100), range(100), True),
        (range(9, 109), range(100), True),  # Dice 0.91
        (range(11, 111), range(100), False),  # Dice 0.89
        (range(50, 55), range(5), True),  # 0.5 ml apart from each other: volumes alone count
        (range(16), range(5), False),  # 1.6 and 0.5 ml
        (range(0), range(0), True),
    ],
)
def test_agreement_is_dice_for_bleeds_and_volume_for_specks(
    script, ours: range, peer: range, *, expected: bool
) -> None:
    masks = np.zeros((2, 1, 1, 200), dtype=bool)
    masks[0, 0, 0, list(ours)] = True
    masks[1, 0, 0, list(peer)] = True
    assert script("segment").do_agree(masks[0], masks[1], voxel_ml=0.1) is expected


def test_the_workload_keeps_places_and_extent(script) -> None:
    hu = np.tile(np.linspace(-20, 100, 64, dtype=np.float32), (34, 64, 1))
    grid = Grid(shape=(34, 64, 64), spacing_mm=(5.0, 4.0, 4.0), origin_lps_mm=(-30.0, -40.0, 12.0), direction=AXES_LPS)
    workload = script("workload")
    volume = workload.enlarge(hu, grid, name="head", noise=np.random.default_rng(0))
    assert volume.hu.shape == (30, 512, 512)
    assert volume.grid.spacing_mm == pytest.approx((5.0, 0.5, 0.5))
    # Corner of the extent: half a voxel before the first center, two slices up as two were cut below.
    assert volume.grid.world([-0.5, -0.5, -0.5]) == pytest.approx(grid.world([1.5, -0.5, -0.5]))
    assert (float(volume.hu.min()), float(volume.hu.max())) == (-20, 100)
    noise = volume.hu[:, :, 200:300] - np.rint(volume.hu[:, :, 200:300].mean(axis=(0, 1)))
    assert float(noise.std()) == pytest.approx(workload.NOISE_HU, rel=0.02)


def test_the_workloads_labels_stay_with_their_voxels(script) -> None:
    labels = np.zeros((34, 256, 64), dtype=np.int16)
    labels[2, 100:102, 10] = 2  # the first slice that is kept; two pixels by one, each 2 by 8 pixels of the new grid
    labels[31, 0, 63] = 1  # the last one
    fine = script("workload").enlarge_labels(labels)
    assert (fine.shape, fine.dtype) == ((30, 512, 512), np.uint8)
    expected = np.zeros_like(fine)
    expected[0, 200:204, 80:88] = 2
    expected[29, :2, 504:] = 1
    np.testing.assert_array_equal(fine, expected)


@pytest.mark.data
def test_the_workload_is_a_data_set(script, data: Path, tmp_path: Path) -> None:
    workload = script("workload")
    dataset = index_dataset(workload.write_dataset(data, tmp_path, cases=1))
    volume, labels = read_case(dataset.cases[0], dataset.table)
    assert volume.hu.shape == labels.shape == (30, 512, 512)
    (scan,) = workload.write_workload(data, tmp_path / "scans", scans=1)
    assert scan.read_bytes() == dataset.cases[0].image.read_bytes()
    mean_hu = volume.hu[labels == 1].mean()
    assert 45 < mean_hu < 70  # blood lies under the label


def test_too_few_scans_are_told(script, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 scans of at least 30 slices"):
        script("workload").write_workload(tmp_path, tmp_path / "out", scans=1)


def test_the_peer_gets_every_weight_and_the_windows(script, tmp_path: Path) -> None:
    world = script("nnunet_world")
    bundle = open_bundle(write_tiny_bundle(tmp_path / "tiny"))
    world.write_world(bundle, tmp_path / "results")
    folder = tmp_path / "results" / "Dataset001_Bundle" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    checkpoint = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=True)
    network = build_network(bundle.plan, bundle.plan.configurations[0])
    network.load_state_dict(checkpoint["network_weights"])  # strict: refuses missing and unknown names
    entry = json.loads((folder / "plans.json").read_text())["configurations"]["3d_fullres"]
    assert entry["spacing"] == [5.0, 2.0, 2.0]
    assert entry["architecture"]["arch_kwargs"]["features_per_stage"] == [4, 8]
    volume = head_volume()
    world.write_channels(volume, bundle, tmp_path / "input")
    expected = apply_windows(volume.hu, bundle.plan.preparation.channels)
    for number, channel in enumerate(expected):
        written = read_scan(tmp_path / "input" / f"head_{number:04d}.nii", assume_hu=True)
        np.testing.assert_array_equal(written.hu, channel)


def test_a_two_dimensional_model_is_refused(script, tmp_path: Path) -> None:
    flat = tiny_configuration(name="2d", patch_size=(1, 16, 16), kernels=((1, 3, 3), (1, 3, 3)))
    bundle = open_bundle(write_tiny_bundle(tmp_path / "tiny", plan=tiny_plan(flat)))
    with pytest.raises(SettingsError, match="configuration 2d"):
        script("nnunet_world").write_world(bundle, tmp_path)


def test_memory_of_children_counts_and_shared_pages_count_once(script, tmp_path: Path, monkeypatch) -> None:
    """A parent with 200 MB and its forked children read the same pages for a while.

    Looks rest long on a busy machine, where each takes long: here the command is over before the second.
    """
    monkeypatch.setattr(script("measure"), "REST", 0)
    program = (
        "import os, time\nblock = b'x' * 200_000_000\n"
        "children = [os.fork() for _ in range(2)]\n"
        "sum(block[::4096])\ntime.sleep(1)\n"
    )
    cost = script("measure").measure_command([sys.executable, "-c", program], {}, tmp_path / "log")
    assert 200 < cost.peak_mb < 300
    assert cost.wall_s > 1


def test_commands_keep_byte_code_whatever_the_machine_says(script, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    command = [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"]
    script("measure").measure_command(command, {}, tmp_path / "log", memory=False)
    assert (tmp_path / "log").read_text() == "False\n"


def test_a_command_that_fails_is_told_with_its_last_lines(script, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no luck'); raise SystemExit(5)"]
    with pytest.raises(ResourceError, match="exit code 5: no luck"):
        script("measure").measure_command(command, {}, tmp_path / "log")


@pytest.mark.parametrize(
    ("codes", "found"),
    [
        ({"clipped": 4, "near-duplicate": 2}, []),
        ({"clipped": 3, "near-duplicate": 2}, ["clipped: 3 times, expected 4"]),
        ({"clipped": 4}, ["not found: near-duplicate"]),
        ({"clipped": 4, "near-duplicate": 2, "brain-hu": 1}, ["unexpected: brain-hu"]),
    ],
)
def test_findings_of_the_checked_workload_have_to_be_those_it_deserves(script, tmp_path: Path, codes, found) -> None:
    """Four scans made from two: each is clipped, and each two of one source are nearly equal."""
    rows = [{"code": code, "severity": "warning", "instances": [{}] * count} for code, count in codes.items()]
    (tmp_path / "log").write_text("check (4)\n" + json.dumps({"rows": rows}))
    assert script("check").differences(tmp_path / "log", 4, 2) == found


def test_a_curve_is_compared_in_parts_with_the_spread_of_seeds(script) -> None:
    train_step = script("train_step")
    assert train_step.parts([1.0, 2.0]) == [1.0, 2.0]
    assert train_step.parts([float(number) for number in range(40)])[:2] == [1.5, 5.5]
    full = [[1.0, 0.5], [1.2, 0.4], [0.9, 0.6]]
    assert train_step.is_inside([1.25, 0.35], full)
    assert not train_step.is_inside([1.35, 0.5], full)
    assert not train_step.is_inside([1.0, 0.75], full)


def test_a_curve_that_is_whole_is_not_trained_again(script, tmp_path: Path, monkeypatch) -> None:
    """The side is a fake: it writes as many losses as it is asked for."""
    train_step, run, asked = script("train_step"), RunFolder(tmp_path / "run"), []
    run.path.mkdir()
    item = tiny_configuration().model_copy(update={"name": train_step.CONFIGURATION})
    plan = tiny_plan(item)
    write_model(run.plan_file, plan)

    def side(command: list[str], **_: object) -> None:
        asked.append(Path(command[2]).name)
        rows = [{"loss": number / 2} for number in range(int(command[4]))]
        Path(command[5]).write_text(json.dumps({"rows": rows, "made_with": train_step.made_with()}))

    monkeypatch.setattr(train_step.subprocess, "run", side)

    def curve(seed: int, steps: int) -> list[float]:
        return train_step.train_curve(run.path, tmp_path, precision="fp32", seed=seed, steps=steps)

    assert [curve(0, 2), curve(1, 2), curve(0, 2)] == [[0.0, 0.5]] * 3
    assert asked == ["curve-fp32-0", "curve-fp32-1"]
    assert curve(0, 3) == [0.0, 0.5, 1.0]
    write_model(run.plan_file, plan.model_copy(update={"dataset_name": "another"}))
    assert curve(0, 3) == [0.0, 0.5, 1.0]
    assert asked[2:] == ["curve-fp32-0", "curve-fp32-0"]
    monkeypatch.setattr(train_step, "made_with", lambda: {"torch": "another"})
    curve(0, 3)
    assert asked[4:] == ["curve-fp32-0"]


def test_a_mask_of_the_peer_counts_if_it_was_written_to_its_end(script, tmp_path: Path) -> None:
    is_whole, mask = script("nnunet_train_peer").is_whole, tmp_path / "mask.nii.gz"
    assert not is_whole(mask)
    mask.write_bytes(gzip.compress(bytes(10_000)))
    assert is_whole(mask)
    whole = mask.read_bytes()
    for damaged in (whole[:-9], b"", whole[:20] + bytes([whole[20] ^ 255]) + whole[21:]):
        mask.write_bytes(damaged)
        assert not is_whole(mask)


def test_the_untrained_models_are_nnunets_plans(script) -> None:
    """The INSTANCE-like one has 43.5 million weights, as nnU-Net's planner makes it."""
    untrained = script("untrained")
    for shape, weights in ((untrained.INSTANCE, 43.5e6), (untrained.SIX, None)):
        dataset = {"channel_names": {"0": "CT"}, "file_ending": ".nii.gz", "numTraining": 1}
        labels = {name: number for number, name in enumerate(("background", *shape.classes))}
        plan = read_plans(untrained.plans_json(shape, (5.0, 0.5, 0.5)), dataset | {"labels": labels})
        (item,) = plan.configurations
        assert item.patch_size == shape.patch
        if weights is not None:
            assert count_weights(item, channels=1, classes=plan.outputs) == pytest.approx(weights, rel=0.01)


def test_rows_of_a_prediction_are_told_by_their_medians(script) -> None:
    predict = script("predict")
    keys = ("wall_s", "cpu_s", "peak_mb", "ratio", "cpu_ratio", "memory_ratio")
    keys += ("over_floor", "floor_share", "floor_cpu_share")
    lines = [{"row": row, **dict.fromkeys(keys, value)} for value in (1.0, 5.0, 2.0) for row in ("default", "exact")]
    assert predict.summary(lines) == {row: dict.fromkeys(keys, 2.0) for row in ("default", "exact")}
    lines[0]["ratio"] = None
    assert predict.summary(lines)["default"] == dict.fromkeys(keys, 2.0) | {"ratio": None}


def test_a_prediction_is_held_against_what_is_asked(script) -> None:
    asked = script("predict").asked
    default, exact = {"floor_share": 0.71}, {"floor_share": 0.5, "ratio": 1.8}
    assert asked({"default": default, "exact": exact}) == {"default": True, "exact": True}
    assert asked({"default": {"floor_share": 0.69}, "exact": {"floor_share": 0.5, "ratio": None}}) == {
        "default": False,
        "exact": False,
    }
