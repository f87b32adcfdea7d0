"""Instance norm that keeps the layout of what it is given."""

from typing import Any

import torch
from torch import Tensor, nn

from hemoseg.arrays import Float

MANY_VOXELS = 2**14
"""From here on torch's sums over channels that come last, in float32 one after the other, are off by more than 1e-5."""
AT_ONCE = 2**18
"""Numbers that are summed and normed at once: as many as stay in a CPU's cache."""


class InstanceNorm(nn.InstanceNorm3d):
    """torch's instance norm; on a CPU also for channels that come last in memory.

    torch's own copies such tensors to the plain layout and leaves them there, so that the next convolution copies
    them back. Here each patch of the batch is normed alone, as a batch of one: torch's batch norm is the same
    arithmetic, and it keeps the layout. Of many voxels in float32 it gives thousandths too much or too little, for it
    adds them up one by one; these are added up in parts. Where no gradient is asked for, they are normed in place.
    """

    def forward(self, x: Float[Tensor, "b c z y x"]) -> Float[Tensor, "b c z y x"]:
        """Norm over the voxels of each patch and channel, then scale and shift."""
        if x.device.type != "cpu" or x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last_3d):
            return super().forward(x)
        if is_many(x) and not torch.is_grad_enabled():
            for patch in torch.split(x, 1):
                norm_into(patch, patch, self.weight, self.bias, self.eps)
            return x
        result: Tensor = _EachPatch.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        return result


def is_many(x: Tensor) -> bool:
    """Whether voxels are so many that they are added up in parts."""
    return x.dtype == torch.float32 and x[0, 0].numel() >= MANY_VOXELS


def norm_into(result: Tensor, patch: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Write one patch, normed, scaled and shifted, and give its means and inverse deviations by channel.

    Both are float32 with channels last, (1, c, z, y, x), and may be the same. Sums over parts are float32, those over
    the parts float64, and the second is of what lies apart from the first's mean: equal voxels have no deviation.
    """
    voxels, targets = (one.permute(0, 2, 3, 4, 1).view(-1, one.shape[1]) for one in (patch, result))
    rows = AT_ONCE // voxels.shape[1] + 1
    parts = torch.split(voxels, rows)
    sums, rest, squares = torch.zeros(3, voxels.shape[1], dtype=torch.float64)
    for part in parts:
        sums += part.sum(0)
    near, room = (sums / len(voxels)).float(), torch.empty_like(parts[0])
    for part in parts:
        apart = torch.sub(part, near, out=room[: len(part)])
        rest += apart.sum(0)
        squares += apart.square_().sum(0)
    more = rest / len(voxels)
    inverse = (squares / len(voxels) - more**2 + eps).rsqrt()
    scale, shift = (inverse * weight).float(), (bias - more * inverse * weight).float()
    for part, target in zip(parts, torch.split(targets, rows), strict=True):
        torch.addcmul(shift, torch.sub(part, near, out=target), scale, out=target)
    return (near + more).float(), inverse.float()


class _EachPatch(torch.autograd.Function):
    """Batch norm of each patch alone, written where it belongs: nothing is joined, nothing copied."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        result = torch.empty_like(x)
        moments = weight.new_empty(2, *x.shape[:2])
        for number, patch in enumerate(torch.split(x, 1)):
            place = result[number : number + 1]
            if is_many(x):
                moments[0, number], moments[1, number] = norm_into(place, patch, weight, bias, eps)
                continue
            torch.ops.aten.native_batch_norm.out(
                patch,
                weight,
                bias,
                None,
                None,
                True,
                0.0,
                eps,
                out=place,
                save_mean=moments[0, number],
                save_invstd=moments[1, number],
            )
        ctx.save_for_backward(x, weight, moments)
        ctx.eps = eps
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, moments = ctx.saved_tensors
        found, to_weight, to_bias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(weight)
        for number, patch in enumerate(torch.split(x, 1)):
            one = slice(number, number + 1)
            parts = torch.ops.aten.native_batch_norm_backward(
                gradients[0][one], patch, weight, None, None, *moments[:, number], True, ctx.eps, [True, True, True]
            )
            found[one] = parts[0]
            to_weight += parts[1]
            to_bias += parts[2]
        return found, to_weight, to_bias, None
