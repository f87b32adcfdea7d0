"""Did a metric of fixed blobs move?"""

import numpy as np
from scipy import ndimage

from hemoseg.evaluation import evaluate_pair
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
