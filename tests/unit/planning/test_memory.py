"""The memory estimate counts what torch counts."""

import pytest
import torch

from hemoseg.nets import build_network
from hemoseg.planning.memory import count_weights, estimate_memory, plan_memory, saved_bytes, stage_voxels
from hemoseg.training.loss import deep_loss
from plans import tiny_configuration, tiny_plan

THREE = {
    "patch_size": (4, 16, 32),
    "features": (3, 5, 5),
    "strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    "blocks": (1, 3, 2),
    "decoder_blocks": (2, 1),
}
NETWORKS = [
    {},
    THREE,
    THREE | {"precision": "bf16", "batch_size": 3},
    THREE | {"encoder": "residual"},
    THREE | {"encoder": "residual", "precision": "bf16"},
    {"encoder": "residual", "precision": "bf16", "blocks": (2, 1)},
]


@pytest.mark.parametrize("changes", NETWORKS)
def test_weights_are_counted(changes):
    plan = tiny_plan(tiny_configuration(**changes))
    item = plan.configurations[0]
    expected = sum(parameter.numel() for parameter in build_network(plan, item).parameters())
    assert count_weights(item, channels=2, classes=3) == expected


def live_bytes(plan, item):
    """Bytes of all tensors that live when the backward pass could begin, weights and statistics apart."""
    network = build_network(plan, item)
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    shapes = {parameter.shape for parameter in network.parameters() if parameter.ndim == 5}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and tensor.shape not in shapes and tensor.ndim > 2:
            kept[storage.data_ptr()] = storage
        return tensor

    inputs = torch.rand((item.batch_size, 2, *item.patch_size))
    labels = (inputs[:, 0] * 3).long()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=item.precision == "bf16"):
            outputs = network(inputs)
        loss = deep_loss(outputs, labels, pooled=True)
    kept |= {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in (inputs, labels, *outputs)}
    assert loss
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("changes", NETWORKS)
def test_kept_tensors_are_counted(changes):
    plan = tiny_plan(tiny_configuration(**changes))
    item = plan.configurations[0]
    assert saved_bytes(item, channels=2, classes=3) == live_bytes(plan, item)


def test_voxels_of_stages_by_hand():
    # 2 patches of 4 x 16 x 32; the second stage halves y and x, the third all three.
    assert stage_voxels(tiny_configuration(**THREE)) == (4096, 1024, 128)


def test_parts_add_up_and_grow_with_the_patch():
    small = estimate_memory(tiny_configuration(), channels=2, classes=3)
    large = estimate_memory(tiny_configuration(patch_size=(8, 64, 64)), channels=2, classes=3)
    assert small.total_mb == pytest.approx(small.process_mb + small.weights_mb + small.saved_mb + small.working_mb)
    assert large.weights_mb == small.weights_mb
    assert large.saved_mb == pytest.approx(32 * small.saved_mb)


def test_a_previous_stage_adds_channels():
    low, full = (
        tiny_configuration(name="3d_lowres"),
        tiny_configuration(name="3d_cascade_fullres", previous_stage="3d_lowres"),
    )
    plan = tiny_plan(low, full)
    assert plan_memory(plan, full) == estimate_memory(full, channels=4, classes=3)
