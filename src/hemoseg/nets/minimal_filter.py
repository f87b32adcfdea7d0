"""Winograd's minimal filtering F(4 x 4, 3 x 3): what it is made of, and which convolutions gain by it.

Of each 6 x 6 pixels of the input, and of a filter of 3 x 3, 36 sums are formed; their products, summed over channels
and slices, give the 4 x 4 outputs amid the 6 x 6. That is 36 matrix products, a fourth of a convolution's work, and the
sums beside them cost little where channels are many. In float32 a sum of outputs is off by five times as much as a
convolution's own, which is 1e-6 of their standard deviation.

Source:
    Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR 2016, doi:10.1109/CVPR.2016.435.
"""

from math import prod

import numpy as np

from hemoseg.arrays import Float32
from hemoseg.types import IntZYX

NEAR, FAR = 0.5**0.5, 2.0**0.5
"""Polynomials are evaluated at 0, ±NEAR, ±FAR and infinity: with the usual 1 and 2 errors are twice as large in the
mean, and at worst four times. What sums the products makes use of NEAR * FAR = 1."""
FINITE = (0.0, NEAR, -NEAR, FAR, -FAR)
OUTPUTS, POINTS = 4, 6
"""Outputs of a tile, and points of evaluation, along one axis."""


def gain(inputs: int, outputs: int, kernel: IntZYX, stride: IntZYX) -> float:
    """Multiplications that are saved, for each sum that is added; 0 for convolutions of another kind."""
    if kernel[0] not in (1, 3) or kernel[1:] != (3, 3) or stride != (1, 1, 1):
        return 0.0
    return kernel[0] / (1 / inputs + 1 / outputs)


def filter_sums(weight: Float32[np.ndarray, "o c z 3 3"]) -> Float32[np.ndarray, "36 z c o"]:
    """The sums of filters at pairs of points (y, x), the second fastest; those at ±p times p."""
    slopes = [prod(point - other for other in FINITE if other != point) for point in FINITE]
    rows = [
        [(abs(point) or 1.0) * point**power / slope for power in range(3)]
        for point, slope in zip(FINITE, slopes, strict=True)
    ]
    along = np.array([*rows, [0.0, 0.0, 1.0]])
    outputs, inputs, slices = weight.shape[:3]
    taps = weight.reshape(outputs, inputs * slices, 9).transpose(2, 1, 0).reshape(9, -1)
    sums = np.kron(along, along).astype(np.float32) @ taps
    return np.ascontiguousarray(sums.reshape(POINTS**2, inputs, slices, outputs).transpose(0, 2, 1, 3))
