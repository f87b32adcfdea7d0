import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from hemoseg.components import split_components
from hemoseg.geometry import Grid, Slice, Volume, uniform_slices
from hemoseg.labels import LabelTable
from hemoseg.segmentation import ModelIdentity, Segmentation, measure_ml

GRID = Grid(
    shape=(4, 10, 10),
    spacing_mm=(5.0, 1.0, 2.0),
    origin_lps_mm=(0.0, 0.0, 100.0),
    direction=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
)
VOLUME = Volume(hu=np.zeros((4, 10, 10), dtype=np.float32), grid=GRID, slices=uniform_slices(GRID), name="case")


def segmentation(labels):
    return Segmentation(
        labels=labels,
        table=LabelTable(("background", "hemorrhage", "edema")),
        volume=VOLUME,
        model=ModelIdentity(name="m", version="1", sha256="0", notice="research use only"),
    )


def test_milliliters_by_hand():
    labels = np.zeros((4, 10, 10), dtype=np.uint8)
    labels[1:3, 0:5, 0:4] = 1  # 40 voxels of 10 mm3
    labels[3, 9, 9] = 2
    result = segmentation(labels)
    assert result.volume_ml == {"hemorrhage": pytest.approx(0.4), "edema": pytest.approx(0.01)}
    assert result.hemorrhage_ml == pytest.approx(0.4)


def test_lesions_come_with_the_largest_first():
    labels = np.zeros((4, 10, 10), dtype=np.uint8)
    labels[0, 0, 0] = 1
    labels[2:4, 4:6, 4:6] = 1
    large, small = segmentation(labels).lesions
    assert (large.volume_ml, small.volume_ml) == (pytest.approx(0.08), pytest.approx(0.01))
    assert large.slices == (2, 3)
    assert large.centroid_mm == pytest.approx((4.5 * 2, 4.5, 100 + 2.5 * 5))
    assert small.centroid_mm == pytest.approx((0, 0, 100))


@pytest.mark.parametrize("block", [2**18, 5])
def test_lesions_are_measured_as_their_voxels_are(monkeypatch, rng, block):
    monkeypatch.setattr("hemoseg.components.BLOCK", block)
    labels = (3 * rng.random((4, 10, 10)) ** 3).astype(np.uint8)
    found = segmentation(labels).lesions
    expected = []
    for number, name in enumerate(("hemorrhage", "edema"), start=1):
        for corner, part in split_components(labels == number):
            center = GRID.world((np.argwhere(part).mean(axis=0) + corner).tolist())
            last = corner[0] + part.shape[0] - 1
            ml = measure_ml(part, VOLUME, first_slice=corner[0])
            expected.append((name, pytest.approx(ml), pytest.approx(center), (corner[0], last)))
    expected.sort(key=lambda row: -row[1].expected)
    assert len(expected) > 10
    rows = [(one.class_name, one.volume_ml, one.centroid_mm, one.slices) for one in found]
    assert sorted(rows, key=lambda row: -row[1]) == rows
    assert sorted(rows, key=lambda row: (row[0], row[3], row[2])) == sorted(
        expected, key=lambda row: (row[0], row[3], tuple(row[2].expected))
    )


def test_the_largest_lesions_alone_and_how_many_there_are(rng):
    result = segmentation((3 * rng.random((4, 10, 10)) ** 3).astype(np.uint8))
    largest, count = result.largest_lesions(5)
    assert count == len(result.lesions)
    assert largest == result.lesions[:5]


def test_listing_lesions_of_noise_takes_little_memory(rng):
    """Each class is measured in blocks, and of its lesions the largest alone are kept for the next one's time."""
    grid = replace(GRID, shape=(40, 200, 200))
    labels = np.clip(rng.integers(-13, 7, size=grid.shape), 0, None).astype(np.uint8)
    noise = Segmentation(
        labels=labels,
        table=LabelTable(("background", *"abcdef")),
        volume=Volume(hu=labels.astype(np.float32), grid=grid, slices=uniform_slices(grid), name="noise"),
        model=ModelIdentity(name="m", version="1", sha256="0", notice="research use only"),
    )
    tracemalloc.start()
    _, count = noise.largest_lesions(10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count > 200_000
    assert peak < 55 * count


def test_slices_weigh_what_they_say():
    uneven = Volume(
        hu=VOLUME.hu,
        grid=GRID,
        slices=tuple(Slice(weight_mm=w, source=str(i)) for i, w in enumerate((1.0, 2.0, 3.0, 4.0))),
        name="case",
    )
    mask = np.zeros((4, 10, 10), dtype=bool)
    mask[:, 0, 0] = True
    assert measure_ml(mask, uneven) == pytest.approx((1 + 2 + 3 + 4) * 2 / 1000)
    assert measure_ml(mask[2:], uneven, first_slice=2) == pytest.approx((3 + 4) * 2 / 1000)


def test_nothing_segmented_is_nought():
    result = segmentation(np.zeros((4, 10, 10), dtype=np.uint8))
    assert result.hemorrhage_ml == 0
    assert result.lesions == ()


def test_what_regions_share_counts_once():
    labels = np.zeros((4, 10, 10), dtype=np.uint8)
    labels[1:3, 0:5, 0:4] = 1  # 40 voxels of 10 mm3
    labels[3, 0:2, 0:5] = 2  # 10 voxels
    table = LabelTable(("background", "hemorrhage", "ivh"), regions=((1, 2), (2,)))
    result = replace(segmentation(labels), table=table)
    assert result.volume_ml == {"hemorrhage": pytest.approx(0.5), "ivh": pytest.approx(0.1)}
    assert result.hemorrhage_ml == pytest.approx(0.5)
    assert [lesion.class_name for lesion in result.lesions] == ["hemorrhage", "ivh"]
