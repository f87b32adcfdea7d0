"""The challenge's scores of masks whose values are not 0 and 1, put together from others' parts.

Codes are SciPy's correlation with the package's kernel in a byte, as in the challenge's program; areas are those of
the package; distances are SciPy's. Needs nothing but what the tests have.
"""

import numpy as np
import pytest
from scipy import ndimage
from surface_distance.lookup_tables import (
    ENCODE_NEIGHBOURHOOD_3D_KERNEL,
    create_table_neighbour_code_to_surface_area,
)

from hemoseg.evaluation.instance2022 import SMOOTH, score_bytes


def expected_scores(reference, prediction, spacing_mm):
    """Dice, surface Dice and Hausdorff distance of arrays (x, y, z)."""
    areas = create_table_neighbour_code_to_surface_area(spacing_mm)
    codes = [
        ndimage.correlate(np.pad(array, 2), ENCODE_NEIGHBOURHOOD_3D_KERNEL, mode="constant", cval=0)
        for array in (reference, prediction)
    ]
    borders = [(code != 0) & (code != 255) for code in codes]
    away = [ndimage.distance_transform_edt(~border, sampling=spacing_mm) for border in borders]
    mm = [away[1][borders[0]], away[0][borders[1]]]
    mm2 = [areas[code[border]] for code, border in zip(codes, borders, strict=True)]
    near = sum(area[distance <= 0.42].sum() for distance, area in zip(mm, mm2, strict=True))
    overlap = np.logical_and(reference, prediction).sum()
    dice = (2 * overlap + SMOOTH) / (np.sum(reference) + np.sum(prediction) + SMOOTH)
    return dice, near / sum(area.sum() for area in mm2), max(distance.max() for distance in mm)


@pytest.mark.parametrize("values", [(1, 1), (1, 255), (255, 255), (2, 1), (7, 200)])
@pytest.mark.parametrize("spacing_mm", [(5.0, 0.45, 0.45), (1.1, 0.7, 0.42)])
def test_any_values(rng, values, spacing_mm):
    noise = ndimage.gaussian_filter(rng.normal(size=(9, 34, 30)), (1, 3, 3))
    other = noise + 0.4 * ndimage.gaussian_filter(rng.normal(size=noise.shape), (1, 3, 3))
    pair = [
        ((field > noise.std()) * value).astype(np.uint8) for field, value in zip((noise, other), values, strict=True)
    ]
    scores = score_bytes(*pair, spacing_mm)
    found = scores["dice"], scores["nsd_0.42mm"], scores["hd_mm"]
    assert found == pytest.approx(expected_scores(pair[0].T, pair[1].T, spacing_mm[::-1]), rel=1e-9)


def test_mixed_values(rng):
    """Label maps of five classes, as a data set of kinds of bleeding has them."""
    pair = [ndimage.maximum_filter(rng.integers(0, 6, (6, 20, 22)) * (rng.random((6, 20, 22)) > 0.97), 3) for _ in "rp"]
    pair = [array.astype(np.uint8) for array in pair]
    scores = score_bytes(*pair, (5.0, 0.5, 0.4))
    found = scores["dice"], scores["nsd_0.42mm"], scores["hd_mm"]
    assert found == pytest.approx(expected_scores(pair[0].T, pair[1].T, (0.4, 0.5, 5.0)), rel=1e-9)
