"""Networks on OpenVINO, CPU: the graph is built from plan and weights, without torch and without ONNX.

In bf16, with its eight significant bits, two roundings can be spared. The scan's values go to the first convolution in
parts, see `in_parts`: air has one value, whose rounding would move the norm of a whole patch. And of the logits the
differences from the background's are computed, as these are small where a lesion ends, and added to the background's
after. In a network that nnU-Net trained the two made most of the error of masks (lab log, 2026-11-30).
"""

from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np

from hemoseg.arrays import Float32
from hemoseg.errors import ArtifactError
from hemoseg.inference.engines.openvino_library import Node, one_core, openvino
from hemoseg.inference.engines.openvino_library import opset13 as ops
from hemoseg.inference.engines.openvino_winograd import is_faster, minimal_filter
from hemoseg.nets.stored import HEADS, read_arrays
from hemoseg.plan import Configuration, Plan, Precision
from hemoseg.types import IntZYX

SLOPE = 0.01
"""Of the leaky ReLU below zero, nnU-Net's."""
EPS = 1e-5
"""Added to the variance that instance norm divides by, nnU-Net's."""
SPACE = np.array([2, 3, 4])
"""Axes of the voxels in (b, c, z, y, x)."""
ONE = (1, 1, 1)
HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's names of the precisions."""


class OpenVinoNetwork:
    """One trained network: patches to logits."""

    def __init__(
        self,
        plan: Plan,
        configuration: Configuration,
        weights: Path,
        *,
        precision: Precision,
        threads: int | None = None,
        lean: bool = False,
    ) -> None:
        """Build and compile it.

        Args:
            plan: the plan.
            configuration: which of its networks.
            weights: file of weights.
            precision: arithmetic of its convolutions.
            threads: threads that it computes with; None for all CPUs.
            lean: whether it gives back the memory that it works in when another lean network of the process runs. A
                large network has a gigabyte of it, and takes a fifth longer for a patch that has to find it anew.

        Raises:
            ArtifactError: weights are damaged or of another network.
        """
        graph = build_graph(plan, configuration, read_arrays(weights), precision=precision, where=weights)
        self.is_halved, self.has_leads = precision == "bf16", _has_leads(plan, precision)
        hints: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",  # all threads on one patch: the memory of one
            "ENABLE_CPU_PINNING": False,  # pinned threads of two processes would share one core and leave others idle
        }
        if threads is not None:
            hints["INFERENCE_NUM_THREADS"] = threads
        self.lean = lean
        self.compiled = one_core().compile_model(graph, "CPU", hints)
        self.request = self.compiled.create_infer_request()

    def __call__(self, patches: Float32[np.ndarray, "b c z y x"]) -> Float32[np.ndarray, "b k z y x"]:
        """Logits of patches, float32; one patch after the other."""
        if self.lean:
            self._free_others()
        logits = np.empty((len(patches), *self.request.get_output_tensor().shape[1:]), dtype=np.float32)
        for one, patch in zip(logits, patches, strict=True):
            given = np.ascontiguousarray(in_parts(patch) if self.is_halved else patch)
            self.request.infer({0: given[np.newaxis]}, share_inputs=True)
            one[:] = self.request.get_output_tensor().data[0]
            if self.has_leads:
                one[1:] += one[0]
        return logits

    def _free_others(self) -> None:
        for other in _AT_WORK - {self}:
            with suppress(RuntimeError):  # another thread of the process runs it
                other.compiled.release_memory()
                _AT_WORK.discard(other)
        _AT_WORK.add(self)


_AT_WORK: WeakSet[OpenVinoNetwork] = WeakSet()
"""Lean networks that hold memory to work in."""


def has_bf16() -> bool:
    """Whether the CPU multiplies bf16 natively, be it slower than float32."""
    return "BF16" in one_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def in_parts(patch: Float32[np.ndarray, "c z y x"]) -> Float32[np.ndarray, "3*c z y x"]:
    """A patch as the first convolution gets it in bf16: the leading bits of each value, the rest, and the former again.

    Of filters w and values x, both made of a and rest b, it adds up a(w) a(x), a(w) b(x) and b(w) a(x). What is missing
    of w x is 2^-14 of it at most.
    """
    leading = leading_bits(patch)
    return np.concatenate([leading, patch - leading, leading])


def leading_bits(values: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """The part of values that bf16 holds: sign, exponent and the first seven bits behind the leading one.

    Example:
        >>> leading_bits(np.float32([1.0, 1.0078125, 1.01])).tolist()
        [1.0, 1.0078125, 1.0078125]
    """
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    leading: Float32[np.ndarray, ...] = (bits & np.uint32(0xFFFF0000)).view(np.float32)
    return leading


def _has_leads(plan: Plan, precision: Precision) -> bool:
    """Whether the graph gives how far each class is ahead of the background; regions have no background."""
    return precision == "bf16" and not plan.regions


def build_graph(
    plan: Plan,
    configuration: Configuration,
    weights: dict[str, Float32[np.ndarray, "..."]],
    *,
    precision: Precision,
    where: Path | str,
) -> openvino.Model:
    """The network of a configuration for one patch (1, c, z, y, x), its output (1, classes, z, y, x).

    The same layers under the same names as `nets.build_network` makes them. In bf16 the patch is in parts, and the
    logits of all classes but the first are without the first's; see above. In float32 wide convolutions take a fourth
    of the multiplications.

    Raises:
        ArtifactError: weights lack a tensor, or one has another shape.
    """
    is_halved = precision == "bf16"
    channels = plan.input_channels(configuration) * (3 if is_halved else 1)
    patch = ops.parameter([1, channels, *configuration.patch_size], np.float32)
    layers = _Layers(weights, where, parted=patch if is_halved else None, has_leads=_has_leads(plan, precision))
    skips = _encoder(layers, configuration, patch)
    logits = _decoder(layers, configuration, skips, plan.outputs)
    layers.check_all_used()
    return openvino.Model([logits], [patch], configuration.name)


def _encoder(layers: "_Layers", configuration: Configuration, patch: Node) -> list[Node]:
    """The output of each stage, the finest first."""
    is_plain = configuration.encoder == "plain"
    features = configuration.features
    x, skips = patch, []
    if not is_plain:
        x = layers.unit(x, "encoder.stem.convs.0", features[0], configuration.kernels[0])
    for stage, count in enumerate(configuration.blocks):
        for number in range(count):
            stride = configuration.strides[stage] if number == 0 else ONE
            shape = (features[stage], configuration.kernels[stage], stride)
            if is_plain:
                x = layers.unit(x, f"encoder.stages.{stage}.0.convs.{number}", *shape)
            else:
                x = layers.residual(x, f"encoder.stages.{stage}.blocks.{number}", *shape)
        skips.append(x)
    return skips


def _decoder(layers: "_Layers", configuration: Configuration, skips: list[Node], outputs: int) -> Node:
    """The logits of the finest stage."""
    x = skips[-1]
    for step, count in enumerate(configuration.decoder_blocks):
        stage = len(skips) - 2 - step
        width = configuration.features[stage]
        x = layers.upward(x, f"decoder.transpconvs.{step}", width, configuration.strides[stage + 1])
        x = ops.concat([x, skips[stage]], 1)
        for number in range(count):
            x = layers.unit(x, f"decoder.stages.{step}.convs.{number}", width, configuration.kernels[stage])
    return layers.head(x, f"{HEADS}{len(configuration.decoder_blocks) - 1}", outputs)


class _Layers:
    """Makes layers of a graph and counts the weights that went into them."""

    def __init__(
        self,
        weights: dict[str, Float32[np.ndarray, "..."]],
        where: Path | str,
        *,
        parted: Node | None,
        has_leads: bool,
    ) -> None:
        self.weights = weights
        self.where = where
        self.parted, self.has_leads, self.is_halved = parted, has_leads, parted is not None
        self.used: set[str] = set()

    def unit(self, x: Node, name: str, width: int, kernel: IntZYX, stride: IntZYX = ONE) -> Node:
        """Convolution, instance norm, leaky ReLU."""
        return self._activated(self._normed(x, name, width, kernel, stride))

    def residual(self, x: Node, name: str, width: int, kernel: IntZYX, stride: IntZYX) -> Node:
        """A residual block; its way around averages where it strides, and projects where channels change."""
        around, steps = x, 0
        if stride != ONE:
            none = [0, 0, 0]
            around = ops.avg_pool(around, list(stride), none, none, list(stride), exclude_pad=False)
            steps = 1
        if _channels(x) != width:
            around = self._normed(around, f"{name}.skip.{steps}", width, ONE, ONE, biased=False)
        inner = self.unit(x, f"{name}.conv1", width, kernel, stride)
        return self._activated(ops.add(self._normed(inner, f"{name}.conv2", width, kernel, ONE), around))

    def convolution(
        self, x: Node, name: str, width: int, kernel: IntZYX, stride: IntZYX = ONE, *, biased: bool = True
    ) -> Node:
        """A convolution that keeps the shape but for the stride."""
        if x is self.parted:
            filters = self._tensor(f"{name}.weight", (width, _channels(x) // 3, *kernel))
            leading = leading_bits(filters)
            filters = np.concatenate([leading, leading, filters - leading], axis=1)
        else:
            filters = self._tensor(f"{name}.weight", (width, _channels(x), *kernel))
        if not self.is_halved and is_faster(x, width, kernel, stride):
            x = minimal_filter(x, filters)
        else:
            margin = [(length - 1) // 2 for length in kernel]
            x = ops.convolution(x, ops.constant(filters), list(stride), margin, margin, list(ONE))
        return ops.add(x, self._per_channel(f"{name}.bias", width)) if biased else x

    def head(self, x: Node, name: str, width: int) -> Node:
        """The logits: a sum over features, for each voxel by itself."""
        filters = self._tensor(f"{name}.weight", (width, _channels(x), *ONE))
        bias = self._tensor(f"{name}.bias", (width,))
        if self.has_leads:
            filters, bias = (np.concatenate([one[:1], one[1:] - one[:1]]) for one in (filters, bias))
        none = [0, 0, 0]
        x = ops.convolution(x, ops.constant(filters), list(ONE), none, none, list(ONE))
        return ops.add(x, ops.constant(bias.reshape(1, width, *ONE)))

    def upward(self, x: Node, name: str, width: int, stride: IntZYX) -> Node:
        """The transposed convolution that undoes a stride; its kernel is as long."""
        filters = self._tensor(f"{name}.weight", (_channels(x), width, *stride))
        x = ops.convolution_backprop_data(x, ops.constant(filters), list(stride))
        return ops.add(x, self._per_channel(f"{name}.bias", width))

    def check_all_used(self) -> None:
        """Make sure that no weight is left over but those of deep supervision's heads.

        Raises:
            ArtifactError: some are: they are of another network.
        """
        left = sorted(name for name in set(self.weights) - self.used if not name.startswith(HEADS))
        if left:
            raise self._unfit(f"{len(left)} tensors that the plan's network does not have, {left[0]} the first")

    def _normed(self, x: Node, name: str, width: int, kernel: IntZYX, stride: IntZYX, *, biased: bool = True) -> Node:
        x = self.convolution(x, f"{name}.conv", width, kernel, stride, biased=biased)
        x = ops.mvn(x, ops.constant(SPACE), normalize_variance=True, eps=EPS, eps_mode="inside_sqrt")
        scaled = ops.multiply(x, self._per_channel(f"{name}.norm.weight", width))
        return ops.add(scaled, self._per_channel(f"{name}.norm.bias", width))

    def _activated(self, x: Node) -> Node:
        return ops.prelu(x, ops.constant(np.array([SLOPE], np.float32)))

    def _per_channel(self, name: str, width: int) -> Node:
        return ops.constant(self._tensor(name, (width,)).reshape(1, width, 1, 1, 1))

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
        if name not in self.weights:
            raise self._unfit(f"no tensor {name}")
        found = self.weights[name]
        if found.shape != shape:
            raise self._unfit(f"{name} has shape {found.shape}, not {shape}")
        self.used.add(name)
        return found

    def _unfit(self, found: str) -> ArtifactError:
        return ArtifactError(
            found,
            where=self.where,
            expected="the weights of the plan beside them",
            remedy="use the plan that the weights were trained with",
        )


def _channels(x: Node) -> int:
    return int(x.get_output_shape(0)[1])
