"""Instance norm that keeps the layout of what it is given."""

from typing import Any

import torch
from torch import Tensor, nn

from hemoseg.arrays import Float


class InstanceNorm(nn.InstanceNorm3d):
    """torch's instance norm; on a CPU also for channels that come last in memory.

    torch's own copies such tensors to the plain layout and leaves them there, so that the next convolution copies
    them back. Here each patch of the batch is normed alone, as a batch of one: torch's batch norm is the same
    arithmetic, and it keeps the layout.
    """

    def forward(self, x: Float[Tensor, "b c z y x"]) -> Float[Tensor, "b c z y x"]:
        """Norm over the voxels of each patch and channel, then scale and shift."""
        if x.device.type != "cpu" or x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last_3d):
            return super().forward(x)
        result: Tensor = _EachPatch.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        return result


class _EachPatch(torch.autograd.Function):
    """Batch norm of each patch alone, written where it belongs: nothing is joined, nothing copied."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        result = torch.empty_like(x)
        moments = weight.new_empty(2, *x.shape[:2])
        for number, patch in enumerate(torch.split(x, 1)):
            torch.ops.aten.native_batch_norm.out(
                patch,
                weight,
                bias,
                None,
                None,
                True,
                0.0,
                eps,
                out=result[number : number + 1],
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
