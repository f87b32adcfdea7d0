"""nnU-Net's planners and ours on random data sets, the same plans.json to the last character."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hemoseg.errors import HemosegError
from planner_peer import CLASSES, PYTHON, Peer, intensity, our_plans_json

pytestmark = pytest.mark.skipif(not PYTHON.is_file(), reason="no nnunetv2: make peers")
EXAMPLES = 320
CRASHES = ("OverflowError", "AssertionError", "ZeroDivisionError", "ValueError", "TooLongError")
"""How nnU-Net fails where it has no plan: a patch of no voxels, more stages than blocks, a loop without end."""
SEEN: Counter[str] = Counter()

spacings = st.one_of(
    st.sampled_from([0.1, 0.3, 0.45, 0.488281, 0.5, 0.9, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 6.0, 10.0]),
    st.floats(0.1, 10.0, allow_nan=False),
)
sizes = st.one_of(
    st.integers(1, 2000),
    st.integers(1, 40),
    st.sampled_from([1, 3, 4, 7, 8, 9, 11, 12, 13, 16, 31, 32, 33, 63, 64, 127, 128, 129, 255, 256, 257, 512, 513]),
)
ratios = st.sampled_from([1.0, 2.0, 1.9999999, 2.0000001, 3.0, 2.9999999, 3.0000001, 4.0])
channels = st.lists(
    st.sampled_from(["CT", "ct", "MRI", "noNorm", "zscore", "rgb_to_0_1", "rescale_to_0_1"]), min_size=1, max_size=4
)
memory = st.one_of(st.none(), st.sampled_from([2, 4, 8, 10, 11, 16, 24, 40, 80]), st.floats(2.0, 80.0))


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[list[float]], list[list[int]]]:
    """Spacings and shapes: of one scanner with scatter, or of anything; ties and ratios near thresholds are common."""
    spacing, shape = draw(st.tuples(*[spacings] * 3)), draw(st.tuples(*[sizes] * 3))
    base = list(spacing)
    if draw(st.booleans()):
        axes = draw(st.permutations(range(3)))
        base[axes[0]], base[axes[1]] = base[axes[2]] * draw(ratios), base[axes[2]] * draw(ratios)
    count = draw(st.integers(1, 6))
    if draw(st.booleans()):
        return [base] * count, [list(shape)] * count
    scatter = st.sampled_from([0.5, 0.9, 1.0, 1.0, 1.1, 2.0])
    mixed_spacings = [[value * draw(scatter) for value in base] for _ in range(count)]
    mixed_shapes = [[max(1, int(size * draw(scatter))) for size in shape] for _ in range(count)]
    return mixed_spacings, mixed_shapes


@st.composite
def requests(draw: st.DrawFn) -> dict[str, object]:
    """A planner, its memory and the two files that it reads."""
    names, count = draw(channels), draw(st.integers(1, 20))
    mixed_spacings, mixed_shapes = draw(cases())
    labels: dict[str, object] = {"background": 0} | {f"class-{number}": number for number in range(1, count)}
    order: dict[str, object] = {}
    if count > 2 and draw(st.integers(0, 4)) == 0:
        labels["class-1"] = list(range(1, count))
        order["regions_class_order"] = list(range(1, count))
    if draw(st.integers(0, 9)) == 0:
        labels["ignore"] = count
    return {
        "planner": draw(st.sampled_from(sorted(CLASSES))),
        "memory_gb": draw(memory),
        "dataset_name": "Dataset001_Random",
        "dataset_json": {
            "channel_names": {str(index): name for index, name in enumerate(names)},
            "labels": labels,
            **order,
            "numTraining": draw(st.integers(1, 1000)),
            "file_ending": draw(st.sampled_from([".nii.gz", ".nii", ".png", ".nrrd", ".mha", ".tiff", ".NII.GZ"])),
        },
        "fingerprint": {
            "spacings": mixed_spacings,
            "shapes_after_crop": mixed_shapes,
            "foreground_intensity_properties_per_channel": {
                str(index): intensity(index) for index in range(len(names))
            },
            "median_relative_size_after_cropping": draw(st.sampled_from([1.0, 0.75, 0.7499999, 0.3])),
        },
    }


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with Peer() as process:
        yield process


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # shrinking would ask nnU-Net a thousand times
    suppress_health_check=list(HealthCheck),
)
@given(request=requests())
def test_plans_are_equal(peer, request):
    answer = peer.plan(request)
    if "plans" in answer:
        SEEN["equal"] += 1
        assert json.dumps(our_plans_json(request), sort_keys=True) == json.dumps(answer["plans"], sort_keys=True)
        return
    SEEN["no plan"] += 1
    assert answer["error"].startswith(CRASHES)
    with pytest.raises(HemosegError, match=r"expected: .*\n  try: "):
        our_plans_json(request)


@pytest.mark.slow
def test_enough_plans_were_compared():
    assert SEEN["equal"] >= 300 or not SEEN


DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "lesion": 1},
    "numTraining": 10,
    "file_ending": ".nii.gz",
}
FINGERPRINT = {
    "spacings": [[5.0, 0.45, 0.45]] * 10,
    "shapes_after_crop": [[32, 512, 512]] * 10,
    "foreground_intensity_properties_per_channel": {"0": intensity(0)},
    "median_relative_size_after_cropping": 1.0,
}
REGIONS = {"background": 0, "whole": [1, 2], "core": 2}


def odd_request(changes: dict[str, object]) -> dict[str, object]:
    """Two files, of which some entries are unusual."""
    return {
        "planner": "nnunet",
        "memory_gb": None,
        "dataset_name": "Dataset001_Odd",
        "dataset_json": {key: changes.get(key, value) for key, value in (DATASET | changes).items()},
        "fingerprint": {key: changes.get(key, value) for key, value in FINGERPRINT.items()},
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"shapes_after_crop": [[32.0, 512.0, 512.0]] * 10},
        {"shapes_after_crop": [[32.5, 509.5, 512]] * 10},
        {"shapes_after_crop": [[10**30, 512, 512], *[[32, 512, 512]] * 9]},
        {"spacings": [[5, 1, 1]] * 10},
        {"spacings": [["5", "0.45", "0.45"]] * 10},
        {"shapes_after_crop": [["32", 512, 512]] * 10},
        {"foreground_intensity_properties_per_channel": {"0": intensity(0), "1": intensity(1)}},
        {"foreground_intensity_properties_per_channel": {"0": intensity(0) | {"mean": 50, "note": ["x"]}}},
        {"foreground_intensity_properties_per_channel": {"0": {"mean": "50"}}},
        {"foreground_intensity_properties_per_channel": {}},
        {"foreground_intensity_properties_per_channel": None},
        {"median_relative_size_after_cropping": 1},
        {"median_relative_size_after_cropping": "1"},
        {"numTraining": 10.0},
        {"numTraining": 2.5},
        {"numTraining": 0},
        {"numTraining": -3},
        {"numTraining": 1e300},
        {"numTraining": "10"},
        {"labels": {"background": 0, "lesion": 2}},
        {"labels": {"background": 0, "ignore": 1, "lesion": 2}},
        {"labels": {"background": "0", "lesion": "1"}},
        {"labels": {"0": "background", "1": "lesion"}},
        {"labels": {"lesion": 1}},
        {"labels": {}},
        {"labels": ["background", "lesion"]},
        {"labels": REGIONS},
        {"labels": REGIONS, "regions_class_order": [1]},
        {"labels": REGIONS, "regions_class_order": None},
        {"channel_names": {"1": "MR", "0": "CT"}},
        {"channel_names": {"0": 3}},
        {"file_ending": "nii.gz"},
        {"file_ending": "nii.gz", "overwrite_image_reader_writer": "SimpleITKIO"},
        {"overwrite_image_reader_writer": None},
    ],
    ids=lambda changes: json.dumps(changes)[:60],
)
def test_unusual_files_are_planned_where_nnunet_plans_them(peer, changes):
    request = odd_request(changes)
    answer = peer.plan(request)
    if "plans" in answer:
        assert json.dumps(our_plans_json(request), sort_keys=True) == json.dumps(answer["plans"], sort_keys=True)
        return
    with pytest.raises(HemosegError, match=r"expected: .*\n  try: "):
        our_plans_json(request)


@pytest.mark.parametrize(
    ("spacing", "shape", "planner", "memory_gb"),
    [
        pytest.param([1.0, 1.0, 1.0], [20, 64, 64], "nnunet", 1e-9, id="no patch is small enough"),
        pytest.param([1.0, 1.0, 1.0], [20, 64, 64], "nnunet-resenc-l", 1e-9, id="no patch is small enough, residual"),
        pytest.param([0.001, 1.0, 1000.0], [900, 900, 900], "nnunet", None, id="first patch without voxels"),
        pytest.param([4.096, 4.096, 0.001], [16, 16, 70000], "nnunet", None, id="more stages than blocks"),
        pytest.param([4.096, 4.096, 0.001], [16, 16, 70000], "nnunet-resenc-m", None, id="more stages, residual"),
        pytest.param([1.0, 1.0, 1e-320], [30, 30, 30], "nnunet", None, id="spacing that cannot be inverted"),
    ],
)
def test_where_nnunet_crashes_we_say_why(peer, spacing, shape, planner, memory_gb):
    request = {
        "planner": planner,
        "memory_gb": memory_gb,
        "dataset_name": "Dataset001_Crash",
        "dataset_json": {
            "channel_names": {"0": "CT"},
            "labels": {"background": 0, "lesion": 1},
            "numTraining": 10,
            "file_ending": ".nii.gz",
        },
        "fingerprint": {
            "spacings": [spacing],
            "shapes_after_crop": [shape],
            "foreground_intensity_properties_per_channel": {"0": intensity(0)},
            "median_relative_size_after_cropping": 1.0,
        },
    }
    answer = peer.plan(request)
    assert answer.get("error", "a plan").startswith(CRASHES)
    with pytest.raises(HemosegError, match="Dataset001_Crash, "):
        our_plans_json(request)
