"""Measures of one case, with numbers to check by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hemoseg.datasets import index_dataset, measure_case, read_raw_case
from hemoseg.datasets.facts import brain_mode_hu, filled_box
from hemoseg.geometry import Grid, Slice, uniform_slices
from hemoseg.io import RawScan
from hemoseg.labels import LabelTable

TABLE = LabelTable(("background", "hemorrhage", "edema"))
STORED = ((0.0, 0.0, -1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0))
"""Array axes z and y run against the patient's: to inferior and anterior."""


def raw_scan(hu: np.ndarray, *, weights: tuple[float, ...] | None = None) -> RawScan:
    """Voxels of 5 x 1 x 2 mm (z, y, x): 0.01 ml."""
    z, y, x = hu.shape
    grid = Grid(shape=(z, y, x), spacing_mm=(5.0, 1.0, 2.0), origin_lps_mm=(0.0, 0.0, 0.0), direction=STORED)
    slices = uniform_slices(grid)
    if weights is not None:
        slices = tuple(Slice(weight_mm=weight, source=str(i)) for i, weight in enumerate(weights))
    return RawScan(hu=hu, grid=grid, slices=slices, stored_spacing_mm=(5.0, 1.0, 2.0), warnings=("a doubt",))


def measure(scan: RawScan, labels: np.ndarray):
    return measure_case(scan, labels, TABLE, name="a", patient="p", source_sha256="0")


def head(dtype=np.int16) -> tuple[np.ndarray, np.ndarray]:
    """A head of 30 HU in air, 6 x 20 x 16 voxels, with two bleeds of 60 HU and an edema of 20."""
    hu = np.full((8, 40, 30), -1000, dtype=dtype)
    hu[1:7, 10:30, 5:21] = 30
    labels = np.zeros(hu.shape, dtype=np.uint8)
    labels[2:4, 15:17, 8:11] = 1  # 12 voxels
    labels[4, 17, 11] = 1  # touches the first at a corner
    labels[6, 25, 15] = 1  # alone
    labels[2, 20:24, 10] = 2
    hu[labels == 1], hu[labels == 2] = 60, 20
    return hu, labels


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_case_by_hand(dtype) -> None:
    hu, labels = head(dtype)
    hu[0, 0, 0] = -2000  # padding
    hu[:, :, 28:] = 0  # what a converter left empty
    facts, histogram = measure(raw_scan(hu), labels)
    assert facts.shape == facts.stored_shape == (8, 40, 30)
    assert facts.spacing_mm == facts.stored_spacing_mm == (5.0, 1.0, 2.0)
    assert facts.nonzero_shape == (8, 40, 28)
    assert facts.nonzero_share == 28 / 30
    # z runs to inferior and y to anterior in the file: slices 1 to 6 are 1 to 6 from the other end as well.
    assert facts.head_box == ((1, 7), (10, 30), (5, 21))
    assert facts.head_shape == (6, 20, 16)
    assert (facts.hu_min, facts.hu_max) == (-1024, 60)
    assert facts.lesions_ml == {"hemorrhage": (0.13, 0.01), "edema": (0.04,)}
    assert facts.class_ml == {"hemorrhage": 0.14, "edema": 0.04}
    assert facts.class_mean_hu == {"hemorrhage": 60, "edema": 20}
    assert facts.slice_interval_mm == (5.0, 5.0, 5.0)
    assert facts.warnings == ("a doubt",)
    assert (histogram.values.tolist(), histogram.counts.tolist()) == ([20, 60], [4, 14])


def test_slices_count_with_their_weights() -> None:
    hu, labels = head()
    facts, _ = measure(raw_scan(hu, weights=(5.0, 5.0, 5.0, 10.0, 2.0, 5.0, 5.0, 5.0)), labels)
    # Slice 2: 6 voxels of 5 mm; slice 3: 6 of 10; slice 4: one of 2. A pixel is 2 mm2.
    assert facts.lesions_ml["hemorrhage"] == (pytest.approx((6 * 5 + 6 * 10 + 2) * 2 / 1000), 0.01)
    assert facts.slice_interval_mm == (2.0, 5.0, 10.0)


def test_foreground_outside_the_crop_is_not_counted() -> None:
    hu = np.zeros((4, 8, 8), dtype=np.int16)
    hu[:, 2:6, 2:6] = 40
    labels = np.zeros(hu.shape, dtype=np.uint8)
    labels[1, 1:4, 3] = 1  # its first voxel lies in the border of zeros
    facts, histogram = measure(raw_scan(hu), labels)
    assert facts.nonzero_shape == (4, 4, 4)
    assert (histogram.values.tolist(), histogram.counts.tolist()) == ([40], [2])


def test_a_case_without_labels() -> None:
    hu, labels = head()
    facts, histogram = measure(raw_scan(hu), np.zeros_like(labels))
    assert facts.class_ml == {"hemorrhage": 0, "edema": 0}
    assert facts.lesions_ml == {"hemorrhage": (), "edema": ()}
    assert facts.class_mean_hu == {}
    assert histogram.total == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_box_of_what_is_not_zero_is_that_of_all_its_voxels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    array = (rng.random(rng.integers(1, 9, 3)) < rng.choice([0.0, 0.02, 0.3])).astype(np.int16)
    found = np.argwhere(array) if array.any() else np.array([[0, 0, 0], [n - 1 for n in array.shape]])
    assert filled_box(array) == tuple(
        slice(a, b + 1) for a, b in zip(found.min(axis=0), found.max(axis=0), strict=True)
    )


def test_the_mode_of_brain_leaves_out_fluid_blood_and_labels(rng: np.random.Generator) -> None:
    hu = np.full((20, 60, 60), -1000, dtype=np.int16)
    hu[:, 5:55, 5:55] = np.rint(rng.normal(31, 5, (20, 50, 50)))
    hu[:, 5:30, 5:15] = 8  # fluid
    labels = np.zeros(hu.shape, dtype=np.uint8)
    labels[:, 40:55, 5:55] = 1
    hu[labels == 1] = 40  # a bleed of any size
    assert brain_mode_hu(hu, labels, voxel_ml=0.01) == pytest.approx(31, abs=1)
    assert brain_mode_hu(hu.astype(np.float32), labels, voxel_ml=0.01) == brain_mode_hu(hu, labels, voxel_ml=0.01)
    clipped = np.clip(hu, 0, 40)
    assert brain_mode_hu(clipped, labels, voxel_ml=0.01) == pytest.approx(31, abs=1)


def test_no_mode_without_brain() -> None:
    labels = np.zeros((4, 50, 50), dtype=np.uint8)
    assert brain_mode_hu(np.full(labels.shape, 900, dtype=np.int16), labels, voxel_ml=0.01) is None
    steps = np.repeat(np.arange(1, 61), np.arange(1, 61)).astype(np.int16)  # the more the brighter
    rising = np.kron(steps[None, :, None], np.ones((1, 4, 1), dtype=np.int16))
    assert brain_mode_hu(rising, np.zeros(rising.shape, dtype=np.uint8), voxel_ml=1.0) is None
    assert brain_mode_hu(np.full(labels.shape, 30, dtype=np.int16), labels, voxel_ml=0.0001) is None  # 1 ml


def test_facts_do_not_depend_on_the_type_in_the_file() -> None:
    hu, labels = head()
    scan = raw_scan(hu)
    facts, histogram = measure(scan, labels)
    again, other = measure(replace(scan, hu=hu.astype(np.float32)), labels)
    assert again == facts
    np.testing.assert_array_equal(other.table, histogram.table)


@pytest.mark.data
def test_brain_mode_of_real_scans(data: Path) -> None:
    """phe-sich comes with the mode of each scan, found by another program, on the whole unlabeled image."""
    rows = (data / "phe-sich" / "cases.csv").read_text().splitlines()
    expected = {f"PHESICH_{row.split(',')[0]}": float(row.split(",")[3]) for row in rows[1:]}
    dataset = index_dataset(data / "phe-sich")
    apart = []
    for case in dataset.cases[:12]:
        scan, labels = read_raw_case(case, dataset.table)
        facts, _ = measure_case(scan, labels, dataset.table, name="a", patient="a", source_sha256="0")
        apart.append(abs(facts.brain_mode_hu - expected[case.name]))
    assert max(apart) <= 3
    assert sorted(apart)[len(apart) // 2] <= 1


def test_ignored_voxels_belong_to_no_lesion_and_to_nnunets_foreground() -> None:
    hu, labels = head()
    table = LabelTable(TABLE.names, ignore=3)
    plain, histogram = measure(raw_scan(hu), labels)
    labels[6] = 3  # takes away the lesion of one voxel
    labels[4, 17, 12] = 3  # touches the large one
    facts, with_ignored = measure_case(raw_scan(hu), labels, table, name="a", patient="p", source_sha256="0")
    assert plain.ignored_share == 0
    assert facts.ignored_share == (40 * 30 + 1) / labels.size
    assert facts.lesions_ml == {"hemorrhage": (0.13,), "edema": (0.04,)}
    assert facts.class_mean_hu == plain.class_mean_hu
    assert with_ignored.total == histogram.total - 1 + 40 * 30 + 1
    changed = np.where(labels == 3, 99, hu)
    again, _ = measure_case(raw_scan(changed), labels, table, name="a", patient="p", source_sha256="0")
    assert (again.lesions_ml, again.class_mean_hu) == (facts.lesions_ml, facts.class_mean_hu)
    assert again.brain_mode_hu == facts.brain_mode_hu


def test_regions_share_voxels_that_count_once() -> None:
    """Hemorrhage and edema of `head` as one region, and hemorrhage as another: 14 voxels are in both."""
    hu, labels = head()
    table = LabelTable(("background", "lesion", "hemorrhage"), regions=((1, 2), (1,)), paint=(2, 1))
    facts, histogram = measure_case(raw_scan(hu), labels, table, name="a", patient="p", source_sha256="0")
    assert facts.class_ml == {"lesion": 0.18, "hemorrhage": 0.14}
    assert facts.shared_ml == 0.14
    assert facts.labeled_ml == pytest.approx(0.18)
    assert facts.class_mean_hu == {"lesion": round((14 * 60 + 4 * 20) / 18, 2), "hemorrhage": 60}
    assert facts.lesions_ml["hemorrhage"] == (0.13, 0.01)
    assert sorted(facts.lesions_ml["lesion"]) == [0.01, 0.04, 0.13]
    assert histogram.total == 18
    assert measure(raw_scan(hu), labels)[0].shared_ml == 0
