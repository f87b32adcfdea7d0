"""nnU-Net's rules one by one, on numbers that can be checked by hand."""

from math import inf

import pytest

from hemoseg.errors import InputError, SettingsError
from hemoseg.plan import Intensity
from hemoseg.planning.nnunet import DatasetFacts, make_nnunet_plan
from hemoseg.planning.nnunet.channels import make_channels
from hemoseg.planning.nnunet.cost import plain_cost, residual_cost, stage_voxels, v1_cost
from hemoseg.planning.nnunet.facts import reader_of
from hemoseg.planning.nnunet.patch import shrink_to_fit
from hemoseg.planning.nnunet.spacing import make_frame
from hemoseg.planning.topology import Topology, make_topology, make_topology_v1
from hemoseg.settings import Settings

BLOOD = Intensity(mean=60, median=60, std=10, min=0, max=100, percentile_00_5=20, percentile_99_5=95)
TWO_STAGES = Topology((4, 8, 8), ((1, 1, 1), (1, 2, 2)), ((1, 3, 3), (3, 3, 3)))
ONE_STAGE = Topology((3, 5, 7), ((1, 1, 1),), ((3, 3, 3),))


def facts(*cases, **changes):
    """A data set of (spacing, shape) pairs."""
    values = {
        "dataset_name": "Dataset001_Test",
        "channel_names": ("CT",),
        "label_count": 2,
        "training_cases": len(cases),
        "file_ending": ".nii.gz",
        "spacings_mm": tuple(spacing for spacing, _ in cases),
        "shapes": tuple(shape for _, shape in cases),
        "relative_size": 1.0,
        "intensities": (BLOOD,),
    }
    return DatasetFacts(**(values | changes))


HEAD = ((5.0, 0.45, 0.45), (32, 512, 512))
THIN = ((1.0, 0.45, 0.45), (160, 512, 512))
SLICE = ((999.0, 1.0, 1.0), (1, 256, 256))


def plan(data, planner="nnunet", config="auto", **changes):
    values = {"memory_gb": None, "labels": ("background", "hemorrhage"), "settings": Settings(config=config)}
    return make_nnunet_plan(data, planner=planner, precision="fp32", **(values | changes))


def test_voxels_of_stages_are_divided_by_strides():
    assert stage_voxels(TWO_STAGES) == (4 * 8 * 8, 4 * 4 * 4)


def test_plain_cost_by_hand():
    encoder = 2 * (32 * 256 + 64 * 64)
    decoder = 2 * 32 * 256 + 32 * 256 + 3 * 256  # two convolutions, one upsampling, the segmentation
    assert plain_cost(TWO_STAGES, (32, 64), 3) == encoder + decoder


def test_residual_cost_by_hand():
    stem, first = 32 * 256, 2 * 32 * 256
    second = 3 * 2 * 64 * 64 + 64 * 64  # three blocks, and one way around
    decoder = 32 * 256 + 32 * 256 + 3 * 256
    assert residual_cost(TWO_STAGES, (32, 64), 3, blocks=(1, 3)) == stem + first + second + decoder


def test_one_stage_has_no_decoder():
    assert plain_cost(ONE_STAGE, (32,), 3) == 2 * 32 * 105
    assert residual_cost(ONE_STAGE, (32,), 3, blocks=(1,)) == 3 * 32 * 105


def test_v1_cost_by_hand():
    expected = (5 * 32 + 1 + 3) * 256 + 2 * 64 * 64
    assert v1_cost(TWO_STAGES, base=32, largest=320, channels=1, label_count=3) == expected


def test_an_axis_of_infinite_spacing_is_not_part_of_the_network():
    topology = make_topology((inf, 0.5, 0.5), (1, 64, 28))
    assert topology.patch_size == (1, 64, 28)
    assert topology.strides == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 1))  # 8 voxels alone are not pooled
    assert {kernel[0] for kernel in topology.kernels} == {1}


def test_half_voxels_are_not_rounded_until_they_are_pooled():
    """7.5 voxels are fewer than 8, so the axis is not pooled, and the patch is padded up to 8."""
    topology = make_topology((1.0, 1.0, 1.0), (7.5, 16.0, 16.0))
    assert topology.strides == ((1, 1, 1), (1, 2, 2), (1, 2, 2))
    assert topology.patch_size == (8, 16, 16)


def test_v1_stops_when_the_finest_axis_is_exhausted_and_v2_goes_on():
    spacing, patch = (1.0, 4.0, 4.0), (12, 64, 64)
    assert len(make_topology_v1(spacing, patch).strides) == 2
    assert len(make_topology(spacing, patch).strides) == 6


def test_v1_kernels_are_those_of_the_largest_group():
    assert make_topology_v1((5.0, 1.0, 1.0), (16, 64, 64)).kernels[0] == (1, 3, 3)
    assert make_topology_v1((1.0, 4.0, 4.0), (16, 64, 64)).kernels[0] == (1, 3, 3)


def test_the_last_of_equal_axes_shrinks_first():
    fitted = shrink_to_fit(
        make_topology((1.0, 1.0, 1.0), (64, 64, 64)),
        make_topology,
        spacing_mm=(1.0, 1.0, 1.0),
        median_shape=(64, 64, 64),
        is_too_large=lambda topology: topology.patch_size == (64, 64, 64),
        where="here",
    )
    assert fitted.patch_size == (64, 64, 56)


def test_nothing_fits_into_no_memory():
    with pytest.raises(SettingsError, match="no patch is small enough"):
        plan(facts(HEAD), memory_gb=1e-9)


def test_median_spacing_and_the_coarsest_axis_first():
    frame = make_frame(facts(((0.5, 0.5, 5.0), (512, 512, 30)), ((0.5, 0.7, 4.0), (512, 512, 34))))
    assert frame.target_mm.tolist() == pytest.approx([0.5, 0.6, 4.0 + 0.1])  # 10th percentile of 4 and 5
    assert frame.transpose == (2, 0, 1)
    assert frame.is_coarse


@pytest.mark.parametrize(("z_mm", "slices", "is_coarse"), [(1.5, 30, False), (1.6, 30, True), (1.6, 171, False)])
def test_an_axis_is_coarse_by_spacing_and_by_voxels(z_mm, slices, is_coarse):
    """More than 3 times 0.5 mm, and less than a third of 512 voxels."""
    assert make_frame(facts(((z_mm, 0.5, 0.5), (slices, 512, 512)))).is_coarse is is_coarse


def test_a_low_percentile_is_not_finer_than_the_other_axes():
    thick, thin = ((6.0, 0.7, 0.7), (20, 300, 280)), ((0.5, 0.7, 0.7), (240, 300, 280))
    frame = make_frame(facts(*[thick] * 8, *[thin] * 2))
    assert frame.target_mm.tolist() == [0.7 + 1e-5, 0.7, 0.7]


@pytest.mark.parametrize(
    ("name", "relative", "scheme", "masked"),
    [
        ("CT", 0.4, "ct", False),
        ("cT", 0.4, "ct", False),
        ("T1", 0.7499, "zscore", True),
        ("T1", 0.75, "zscore", False),
        ("noNorm", 0.4, "none", False),
        ("NONORM", 0.4, "none", False),
        ("rescale_to_0_1", 0.4, "rescale", False),
        ("rgb_to_0_1", 0.4, "rgb", False),
    ],
)
def test_channel_names_decide_normalization(name, relative, scheme, masked):
    (channel,) = make_channels(facts(HEAD, channel_names=(name,), relative_size=relative), v1=False)
    assert (channel.normalization, channel.masked) == (scheme, masked)


@pytest.mark.parametrize(
    ("name", "scheme", "masked"),
    [
        ("CT", "ct", False),
        ("ct", "ct", True),
        ("cT", "zscore", True),
        ("CTA", "zscore", False),
        ("noNorm", "none", True),
    ],
)
def test_v1_takes_names_to_the_letter_and_masks_unless_they_hold_ct(name, scheme, masked):
    (channel,) = make_channels(facts(HEAD, channel_names=(name,), relative_size=0.4), v1=True)
    assert (channel.normalization, channel.masked) == (scheme, masked)


def test_ct_needs_intensities():
    with pytest.raises(InputError, match=r"channel 0 \(CT\) has no foreground intensities"):
        plan(facts(HEAD, intensities=(None,)))


@pytest.mark.parametrize(
    ("ending", "override", "reader"),
    [
        (".nii.gz", None, "SimpleITKIO"),
        (".NII.GZ", None, "SimpleITKIO"),
        (".nii", None, "NibabelIO"),
        (".tiff", None, "Tiff3DIO"),
        (".tif", None, "Tiff3DIO"),
        (".png", None, "NaturalImage2DIO"),
        (".nii.gz", "NibabelIOWithReorient", "NibabelIOWithReorient"),
        (".nii.gz", "NoSuchReader", "SimpleITKIO"),
        (".nii.gz", "None", "SimpleITKIO"),
    ],
)
def test_readers(ending, override, reader):
    assert reader_of(facts(HEAD, file_ending=ending, reader=override)) == reader


def test_a_flat_tif_is_a_picture():
    assert reader_of(facts(SLICE, file_ending=".tif")) == "NaturalImage2DIO"


def test_an_ending_without_reader_is_an_error():
    with pytest.raises(InputError, match=r"file_ending '\.dcm'"):
        plan(facts(HEAD, file_ending=".dcm"))


def test_single_slices_have_2d_alone():
    made = plan(facts(SLICE))
    assert [item.name for item in made.configurations] == ["2d"]
    assert made.trained == ("2d",)
    assert made.configurations[0].spacing_mm == (None, 1.0, 1.0)
    with pytest.raises(SettingsError, match=r"(?s)plans no 3d_fullres.*one slice"):
        plan(facts(SLICE), config="3d_fullres")


@pytest.mark.parametrize(
    ("config", "trained"),
    [
        ("auto", ("3d_fullres",)),
        ("2d", ("2d",)),
        ("3d_lowres", ("3d_lowres",)),
        ("cascade", ("3d_lowres", "3d_cascade_fullres")),
    ],
)
def test_what_is_trained(config, trained):
    assert plan(facts(*[THIN] * 20), config=config).trained == trained


@pytest.mark.parametrize("config", ["3d_lowres", "cascade"])
def test_a_network_that_nnunet_drops_cannot_be_trained(config):
    with pytest.raises(SettingsError, match=r"(?s)plans no 3d_lowres .*the patch covers.*try: --config"):
        plan(facts(*[((5.0, 0.94, 0.94), (30, 200, 176))] * 20), config=config)
    with pytest.raises(SettingsError, match=r"(?s)plans no 3d_lowres.*dropped"):
        plan(facts(*[HEAD] * 20), config=config)


def test_the_cascade_sees_the_full_grid_and_the_low_prediction():
    made = plan(facts(*[THIN] * 20))
    full, cascade = made.configuration("3d_fullres"), made.configuration("3d_cascade_fullres")
    assert cascade.previous_stage == "3d_lowres"
    assert cascade.inherits_from == "3d_fullres"
    assert (cascade.patch_size, cascade.spacing_mm) == (full.patch_size, full.spacing_mm)
    assert [item.batch_dice for item in made.configurations] == [True, False, True, True]


def test_v1_keeps_its_own_rules():
    made = plan(facts(*[THIN] * 20), planner="nnunet-v1")
    flat = made.configuration("2d")
    assert made.preparation.normalize == "after"
    assert flat.spacing_mm[0] == 1.0
    assert max(flat.features) == 480
    assert made.memory_gb == 8


def test_v1_has_one_memory_target():
    with pytest.raises(SettingsError, match="a memory target of 24 GB"):
        plan(facts(HEAD), planner="nnunet-v1", memory_gb=24.0)


def test_every_network_has_its_reasons():
    made = plan(facts(*[THIN] * 20), settings=Settings(iterations=7))
    names = [reason.name for reason in made.reasons]
    assert len(set(names)) == len(names)
    for name in ("2d", "3d_lowres", "3d_fullres"):
        assert {f"{name}.{value}" for value in ("patch_size", "batch_size", "strides", "features")} <= set(names)
    given = next(reason for reason in made.reasons if reason.name == "iterations")
    assert (given.value, given.basis) == ("7", "given")
    assert all(reason.why and reason.source for reason in made.reasons)


def test_nnunet_trains_as_it_does():
    made = plan(facts(HEAD))
    assert made.recipe.momentum == 0.99
    assert made.recipe.forced_foreground == 0.33
    assert made.configurations[0].iterations == 250_000
    assert [item.mirror_axes for item in made.configurations] == [(1, 2), (0, 1, 2)]
