"""Layouts: another order in memory, the same training but for rounding."""

import pytest
import torch

from hemoseg.nets import build_network, deterministic
from hemoseg.training.execution import default_layout, lay_out, lay_out_network
from hemoseg.training.loss import deep_loss
from plans import tiny_configuration, tiny_plan


def gradients(layout, *, seed=0, **changes):
    """Gradients of a small network on a drawn batch, and what its first stage gives."""
    plan = tiny_plan(tiny_configuration(**changes))
    item = plan.configurations[0]
    network = build_network(plan, item)
    lay_out_network(network, layout)
    inputs = torch.randn(2, 2, *item.patch_size, generator=torch.Generator().manual_seed(seed))
    labels = (inputs[:, 0] > 1).long()
    seen = []
    network.encoder.stages[0].register_forward_hook(lambda _module, _given, found: seen.append(found))
    with deterministic("cpu"):
        loss, _ = deep_loss(network(lay_out(inputs, layout)), labels, pooled=True)
        loss.backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}, seen[0]


@pytest.mark.parametrize("changes", [{}, {"encoder": "residual", "blocks": (1, 2)}, {"patch_size": (1, 16, 16)}])
def test_layouts_differ_by_rounding_alone(changes):
    if changes.get("patch_size"):
        changes = changes | {"kernels": ((1, 3, 3), (1, 3, 3))}
    plain, _ = gradients("contiguous", **changes)
    last, seen = gradients("channels_last", **changes)
    assert seen.is_contiguous(memory_format=torch.channels_last_3d)
    assert plain.keys() == last.keys()
    largest = max(float(gradient.abs().max()) for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(last[name], gradient, atol=1e-5 * largest, rtol=1e-3)


def test_channels_last_gives_the_same_bits_each_time():
    a, b = (gradients("channels_last")[0] for _ in range(2))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_where_no_clock_decides():
    assert default_layout("cpu", bf16=True) == "channels_last"
    assert default_layout("cpu", bf16=False) == default_layout("cuda", bf16=True) == "contiguous"


def test_what_is_deterministic_fills_no_memory():
    with deterministic("cpu"):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
    assert torch.utils.deterministic.fill_uninitialized_memory
