"""Did a metric of fixed blobs move?"""

import numpy as np
from scipy import ndimage

from hemoseg.evaluation import evaluate_pair
from hemoseg.evaluation.instance2022 import score_bytes
from hemoseg.geometry import Grid
from hemoseg.labels import LabelTable

SPACINGS_MM = {"thick": (5.0, 0.45, 0.45), "thin": (0.625, 0.49, 0.49), "cube": (1.0, 1.0, 1.0)}
TABLE = LabelTable(("background", "iph", "ivh", "edema"))


def blobs(generator, shape):
    """A reference of two classes and a prediction near it; the third class stays empty."""
    noise = ndimage.gaussian_filter(generator.normal(size=shape), (1, 3, 3))
    other = noise + 0.3 * ndimage.gaussian_filter(generator.normal(size=shape), (1, 3, 3))
    deviation = noise.std()
    return tuple(((field > deviation) + 2 * (field < -1.5 * deviation)).astype(np.uint8) for field in (noise, other))


def test_metrics_of_fixed_blobs(golden, rng):
    scores = {}
    for name, (z, y, x) in SPACINGS_MM.items():
        shape = (10, 48, 40)
        reference, prediction = blobs(rng, shape)
        grid = Grid.from_affine(shape, np.diag([z, y, x, 1.0]))
        scores[name] = {
            label: {
                metric: float(f"{value:.9g}") if isinstance(value, float) else value for metric, value in row.items()
            }
            for label, row in evaluate_pair(reference, prediction, grid, TABLE).items()
        }
    golden("eval-blobs", scores)


def test_challenge_scores_of_fixed_blobs(golden, rng):
    """Masks of 0 and 1, of 0 and 255, at the border, of one voxel, and empty."""
    scores = {}
    for name, spacing_mm in SPACINGS_MM.items():
        reference, prediction = ((labels == 1).astype(np.uint8) for labels in blobs(rng, (10, 48, 40)))
        voxel = np.zeros_like(reference)
        voxel[0, 0, 0] = 1
        pairs = {"0-1": prediction, "0-255": prediction * np.uint8(255), "voxel": voxel, "empty": voxel * 0}
        for other, array in pairs.items():
            found = score_bytes(reference, array, spacing_mm)
            scores[f"{name} {other}"] = {
                metric: float(f"{value:.9g}") if isinstance(value, float) else value for metric, value in found.items()
            }
    golden("eval-challenge", scores)
