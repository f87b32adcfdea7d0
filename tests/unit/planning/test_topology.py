"""nnU-Net's pooling rule on cases worked out by hand."""

import pytest

from hemoseg.planning.topology import make_topology, stage_features


def test_thick_slices_are_pooled_in_plane_first():
    topology = make_topology((5.0, 0.94, 0.94), (16, 96, 96))
    assert topology.strides == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert topology.kernels == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))


def test_published_plan_of_thick_head_ct():
    """nnU-Net v2's own plan for 5 x 0.45 x 0.45 mm and a patch of 20 x 320 x 256."""
    topology = make_topology((5.0, 0.45, 0.45), (20, 320, 256))
    assert topology.patch_size == (20, 320, 256)
    assert topology.strides == ((1, 1, 1), *[(1, 2, 2)] * 3, *[(2, 2, 2)] * 2, (1, 2, 2))
    assert topology.kernels == (*[(1, 3, 3)] * 3, *[(3, 3, 3)] * 4)


def test_isotropic_patches_are_pooled_alike_on_all_axes():
    topology = make_topology((1.0, 1.0, 1.0), (128, 128, 128))
    assert topology.strides == ((1, 1, 1), *[(2, 2, 2)] * 5)
    assert topology.kernels == ((3, 3, 3),) * 6


@pytest.mark.parametrize(("patch", "padded"), [((16, 90, 96), (16, 96, 96)), ((3, 7, 7), (3, 7, 7))])
def test_the_patch_is_padded_to_the_pooling(patch, padded):
    assert make_topology((5.0, 0.94, 0.94), patch).patch_size == padded


def test_features_double_up_to_a_limit():
    assert stage_features(16, 6) == (16, 32, 64, 128, 256, 320)
