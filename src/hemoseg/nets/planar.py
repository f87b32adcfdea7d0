"""Convolutions of one slice each as two-dimensional ones."""

from torch import Tensor, nn
from torch.nn import functional

from hemoseg.arrays import Float


class PlanarConv3d(nn.Conv3d):
    """A convolution with a kernel of 1 x k x k that takes slices for patches: the same numbers, weights and names.

    oneDNN's two-dimensional convolutions give right gradients in bf16 where its three-dimensional ones do not, see
    `training.halved`. Where channels come last in memory nothing is copied for it.
    """

    def forward(self, input: Float[Tensor, "b c z y x"]) -> Float[Tensor, "b o z v u"]:  # noqa: A002  # torch's name
        """The convolution."""
        slices = input.transpose(1, 2).flatten(0, 1)
        found = functional.conv2d(slices, self.weight.squeeze(2), self.bias, self.stride[1:], self.padding[1:])
        return found.view(len(input), -1, *found.shape[1:]).transpose(1, 2)


def take_slices(network: nn.Module) -> None:
    """Let those convolutions of a network that look at one slice, and skip none, be two-dimensional."""
    for module in network.modules():
        if type(module) is nn.Conv3d and _is_planar(module):
            module.__class__ = PlanarConv3d


def _is_planar(module: nn.Conv3d) -> bool:
    return (
        (module.kernel_size[0], module.stride[0], module.padding[0]) == (1, 1, 0)
        and module.dilation == (1, 1, 1)
        and module.groups == 1
        and module.padding_mode == "zeros"
    )
