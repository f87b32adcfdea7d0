"""Convolutions of 3 x 3 x 3 in a fourth of the multiplications, as nodes of an OpenVINO graph, for float32.

OpenVINO itself has none. What a tile of 6 x 6 pixels needs of sums goes through memory here, node by node, so that it
pays where three slices share it; `nets.minimal_filter` has the arithmetic.
"""

from collections.abc import Sequence
from functools import reduce
from math import prod

import numpy as np

from hemoseg.arrays import Float32
from hemoseg.inference.engines.openvino_library import Node
from hemoseg.inference.engines.openvino_library import opset13 as ops
from hemoseg.nets.minimal_filter import FAR, NEAR, OUTPUTS, POINTS, filter_sums, gain
from hemoseg.types import IntZYX

LEAST_GAIN = 90.0
"""Of `gain`: with less, sums cost what is won."""
LEAST_PRODUCTS = 1e10
"""Of a plain convolution: with fewer, a scan saves less than compiling takes longer, and filters are four times larger
for nothing."""


def is_faster(x: Node, width: int, kernel: IntZYX, stride: IntZYX) -> bool:
    """Whether `minimal_filter` is the faster way to convolve (1, c, z, y, x) with this many filters."""
    _, channels, *size = x.get_output_shape(0)
    products = prod(size) * prod(kernel) * channels * width
    return kernel[0] == 3 and products >= LEAST_PRODUCTS and gain(channels, width, kernel, stride) >= LEAST_GAIN


def minimal_filter(x: Node, filters: Float32[np.ndarray, "o c 3 3 3"]) -> Node:
    """The convolution of (1, c, z, y, x) with stride 1 that keeps the size."""
    _, channels, depth, height, width = (int(length) for length in x.get_output_shape(0))
    down, across, outputs = -(-height // OUTPUTS), -(-width // OUTPUTS), len(filters)
    after = [0, 0, down * OUTPUTS - height + 1, across * OUTPUTS - width + 1, 0]
    x = _padded(ops.transpose(x, _whole([0, 2, 3, 4, 1])), [0, 0, 1, 1, 0], after)
    x = _stacked(_at_points(x, 3, across), 0)
    x = _stacked(_at_points(_joined(x, (POINTS, depth, down * OUTPUTS + 2, across, channels)), 2, down), 0)
    x = _padded(_joined(x, (POINTS**2, depth, down * across, channels)), [0, 1, 0, 0], [0, 1, 0, 0])
    sums = filter_sums(filters)
    slices = [_joined(_taken(x, 1, first, depth), (POINTS**2, depth * down * across, channels)) for first in range(3)]
    products = [
        ops.matmul(part, ops.constant(np.ascontiguousarray(sums[:, number])), False, False)
        for number, part in enumerate(slices)
    ]
    x = _joined(reduce(ops.add, products), (POINTS, POINTS, depth, down, across, outputs))
    x = _stacked(_between(x), 3)
    x = _stacked(_between(x), 4)
    x = _joined(x, (1, depth, down * OUTPUTS, across * OUTPUTS, outputs))
    x = _taken(_taken(x, 2, 0, height), 3, 0, width)
    return ops.transpose(x, _whole([0, 4, 1, 2, 3]))


def _at_points(x: Node, axis: int, tiles: int) -> list[Node]:
    """The sums at each point of six neighbors along an axis, of tiles that are four apart."""
    pixels = [_taken(x, axis, first, tiles, step=OUTPUTS) for first in range(POINTS)]
    first, second, third, fourth, fifth, sixth = pixels
    sums = []
    for point in (NEAR, FAR):
        other = 1 / point**2  # the other point's square, as NEAR * FAR is 1
        even = ops.subtract(fifth, _times(third, other))
        odd = _times(ops.subtract(fourth, _times(second, other)), point)
        sums += [ops.add(even, odd), ops.subtract(even, odd)]
    between = NEAR**2 + FAR**2
    zero = ops.subtract(ops.add(first, fifth), _times(third, between))
    infinite = ops.subtract(ops.add(second, sixth), _times(fourth, between))
    return [zero, *sums, infinite]


def _between(products: Node) -> list[Node]:
    """Four neighbors along an axis from their products at the points, which are the first axis."""
    size = [int(length) for length in products.get_output_shape(0)]
    parts = [_joined(_taken(products, 0, point, 1), size[1:]) for point in range(POINTS)]
    zero, near, against_near, far, against_far, infinite = parts
    sums, differences = ops.add(near, against_near), ops.subtract(near, against_near)
    far_sums, far_differences = ops.add(far, against_far), ops.subtract(far, against_far)
    return [
        ops.add(zero, ops.add(_times(sums, 1 / NEAR), _times(far_sums, 1 / FAR))),
        ops.add(differences, far_differences),
        ops.add(_times(sums, NEAR), _times(far_sums, FAR)),
        ops.add(infinite, ops.add(_times(differences, NEAR**2), _times(far_differences, FAR**2))),
    ]


def _stacked(parts: Sequence[Node], axis: int) -> Node:
    return ops.concat([ops.unsqueeze(part, _whole([axis])) for part in parts], axis)


def _taken(x: Node, axis: int, first: int, count: int, step: int = 1) -> Node:
    """Some places along an axis; x itself, if it is all of them."""
    if (first, count, step) == (0, x.get_output_shape(0)[axis], 1):
        return x
    return ops.slice(x, _whole([first]), _whole([first + step * (count - 1) + 1]), _whole([step]), _whole([axis]))


def _padded(x: Node, before: Sequence[int], after: Sequence[int]) -> Node:
    return ops.pad(x, _whole(before), _whole(after), "constant", ops.constant(np.float32(0)))


def _joined(x: Node, shape: Sequence[int]) -> Node:
    return ops.reshape(x, _whole(shape), False)


def _times(x: Node, factor: float) -> Node:
    return ops.multiply(x, ops.constant(np.array([factor], np.float32)))


def _whole(values: Sequence[int]) -> Node:
    return ops.constant(np.array(values, np.int64))
