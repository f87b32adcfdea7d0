"""Convolutions of 3 x 3 within slices in a fourth of the multiplications, on torch in float32 on a CPU."""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hemoseg.arrays import Float32
from hemoseg.nets.minimal_filter import FAR, NEAR, OUTPUTS, POINTS, filter_sums, gain
from hemoseg.types import IntZYX

LEAST_GAIN = 60.0
"""Of `gain`: with less, sums cost what is won."""
SMALLEST = 2**11
"""Least voxels of a patch in a layer: with fewer little is won, and the filters take four times the memory."""
ROOM = 2**24
"""Bytes of sums that are worked on at once: as many as stay in a CPU's cache."""


def quicken(network: nn.Module) -> None:
    """Put `Winograd` in place of the convolutions of a network that gain by it; it cannot be trained any more."""
    gaining = [module for module in network.modules() if isinstance(module, nn.Conv3d) and gains(module)]
    replacements: dict[nn.Module, nn.Module] = {module: Winograd(module) for module in gaining}
    for parent in [module for module in network.modules() if not isinstance(module, Winograd)]:
        for name, child in list(parent.named_children()):
            if child in replacements:
                setattr(parent, name, replacements[child])


def gains(convolution: nn.Conv3d) -> bool:
    """Whether a convolution is one that `Winograd` does, and has the channels that make it faster."""
    kernel, stride = cast("IntZYX", convolution.kernel_size), cast("IntZYX", convolution.stride)
    return (
        convolution.padding == (kernel[0] // 2, 1, 1)
        and convolution.dilation == (1, 1, 1)
        and convolution.groups == 1
        and convolution.padding_mode == "zeros"
        and gain(convolution.in_channels, convolution.out_channels, kernel, stride) >= LEAST_GAIN
    )


class Winograd(nn.Module):
    """A convolution of (1 or 3) x 3 x 3 with stride 1 that keeps the size, for channels that come last in memory.

    Small patches go through the convolution itself.
    """

    def __init__(self, convolution: nn.Conv3d) -> None:
        super().__init__()
        self.direct = convolution
        self._filters: Tensor | None = None

    def forward(self, x: Float32[Tensor, "b c z y x"]) -> Float32[Tensor, "b o z y x"]:
        """The convolution, to within a hundred-thousandth of its standard deviation."""
        if x[0, 0].numel() < SMALLEST:
            result: Tensor = self.direct(x)
            return result
        if self._filters is None:
            self._filters = torch.from_numpy(filter_sums(self.direct.weight.detach().numpy()))
        inputs = x.permute(0, 2, 3, 4, 1)
        outputs = inputs.new_empty(*inputs.shape[:-1], self.direct.out_channels)
        together = x.shape[2] if self.direct.kernel_size[0] == 3 else 1
        for patch, target in zip(inputs, outputs, strict=True):
            for slices, result in zip(patch.split(together), target.split(together), strict=True):
                self._convolve(slices, self._filters, result)
        return outputs.permute(0, 4, 1, 2, 3)

    def _convolve(self, inputs: Tensor, filters: Tensor, outputs: Tensor) -> None:
        """Slices that belong together: (z, y, x, c) to (z, y, x, o)."""
        depth, height, width, _ = inputs.shape
        for top, left, rows, columns in _blocks(inputs.shape, outputs.shape[-1]):
            bottom, right = top + OUTPUTS * rows, left + OUTPUTS * columns
            beyond = (0, 0, int(left == 0), max(0, right + 1 - width), int(top == 0), max(0, bottom + 1 - height))
            seen = inputs[:, max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1]
            sums = input_sums(functional.pad(seen, beyond), rows, columns)
            products = _multiply(sums.flatten(2, 4).flatten(0, 1), filters, depth)
            found = output_sums(products.view(*sums.shape[:-1], -1))
            torch.add(
                found[:, : height - top, : width - left],
                0.0 if self.direct.bias is None else self.direct.bias,
                out=outputs[:, top:bottom, left:right],
            )


def input_sums(padded: Float32[Tensor, "z y x c"], rows: int, columns: int) -> Float32[Tensor, "6 6 z r t c"]:
    """Of each tile of 6 x 6 pixels, 4 apart, its sums at pairs of points (y, x)."""
    depth, height, _, channels = padded.shape
    lines = padded.new_empty(POINTS, depth, height, columns, channels)
    last = OUTPUTS * columns - OUTPUTS + 1
    _evaluate([padded[:, :, first : first + last : OUTPUTS] for first in range(POINTS)], lines)
    sums = padded.new_empty(POINTS, POINTS, depth, rows, columns, channels)
    last = OUTPUTS * rows - OUTPUTS + 1
    _evaluate([lines[:, :, first : first + last : OUTPUTS] for first in range(POINTS)], sums)
    return sums


def _evaluate(pixels: Sequence[Tensor], sums: Tensor) -> None:
    """The sums at each point of six neighbors along one axis, at all places at once."""
    first, second, third, fourth, fifth, sixth = pixels
    even, odd = torch.empty_like(sums[0]), torch.empty_like(sums[0])
    for number, point in ((1, NEAR), (3, FAR)):
        other = 1 / point**2  # the other point's square, as NEAR * FAR is 1
        torch.add(fifth, third, alpha=-other, out=even)
        torch.add(fourth, second, alpha=-other, out=odd)
        torch.add(even, odd, alpha=point, out=sums[number])
        torch.add(even, odd, alpha=-point, out=sums[number + 1])
    between = NEAR**2 + FAR**2
    torch.add(torch.add(first, fifth, out=even), third, alpha=-between, out=sums[0])
    torch.add(torch.add(second, sixth, out=odd), fourth, alpha=-between, out=sums[5])


def output_sums(products: Float32[Tensor, "6 6 z r t o"]) -> Float32[Tensor, "z y x o"]:
    """The 4 x 4 outputs of each tile."""
    _, _, depth, rows, columns, channels = products.shape
    lines = products.new_empty(POINTS, depth, rows, OUTPUTS, columns, channels)
    _interpolate(products, [lines[:, :, :, row] for row in range(OUTPUTS)])
    found = products.new_empty(depth, rows, OUTPUTS, columns, OUTPUTS, channels)
    _interpolate(lines, [found[:, :, :, :, column] for column in range(OUTPUTS)])
    return found.view(depth, rows * OUTPUTS, columns * OUTPUTS, channels)


def _interpolate(products: Tensor, outputs: Sequence[Tensor]) -> None:
    """Four neighbors along one axis, at all places at once, from the products at six points, those at ±p times p.

    Of the polynomial with these values it is the sums with powers of the points: 0 to 3.
    """
    zero, near, against_near, far, against_far, infinite = products
    sums, differences = torch.add(near, against_near), torch.sub(near, against_near)
    far_sums, far_differences = torch.add(far, against_far), torch.sub(far, against_far)
    torch.add(torch.add(zero, sums, alpha=1 / NEAR), far_sums, alpha=1 / FAR, out=outputs[0])
    torch.add(differences, far_differences, out=outputs[1])
    torch.add(sums.mul_(NEAR), far_sums, alpha=FAR, out=outputs[2])
    torch.add(torch.add(infinite, differences, alpha=NEAR**2), far_differences, alpha=FAR**2, out=outputs[3])


def _multiply(sums: Tensor, filters: Tensor, depth: int) -> Tensor:
    """Matrix products (36, z r t, c) x (36, c, o) at each point, of a slice with its own filter and its neighbors'."""
    if filters.shape[1] == 1:
        return torch.bmm(sums, filters[:, 0])
    products, step = torch.bmm(sums, filters[:, 1]), sums.shape[1] // depth
    if depth > 1:
        products[:, step:].baddbmm_(sums[:, :-step], filters[:, 0])
        products[:, :-step].baddbmm_(sums[:, step:], filters[:, 2])
    return products


def _blocks(shape: Sequence[int], outputs: int) -> Iterator[tuple[int, int, int, int]]:
    """First pixel (y, x) and extent in tiles (y, x) of each part of slices that is worked on at once."""
    depth, height, width, inputs = shape
    down, across = -(-height // OUTPUTS), -(-width // OUTPUTS)
    tiles = ROOM // (4 * POINTS**2 * depth * max(inputs, outputs))
    rows, columns = min(max(1, tiles // across), down), min(max(1, tiles), across)
    for row in range(0, down, rows):
        for column in range(0, across, columns):
            yield row * OUTPUTS, column * OUTPUTS, min(rows, down - row), min(columns, across - column)
