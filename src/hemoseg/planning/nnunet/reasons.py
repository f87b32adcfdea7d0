"""Why nnU-Net's planners decide as they do, with the numbers that decided."""

from collections.abc import Sequence

from hemoseg.plan import Basis, Configuration, ConfigurationName, Preparation, Reason, SplineResampling
from hemoseg.planning.nnunet.draft import Draft, Drafts
from hemoseg.planning.nnunet.facts import DatasetFacts
from hemoseg.planning.recipes import make_recipe, recipe_reason
from hemoseg.settings import Settings

NNUNET = "nnU-Net v2; Isensee et al. 2021, doi:10.1038/s41592-020-01008-z"
RESIDUAL = "nnU-Net v2; Isensee et al. 2024, arXiv:2404.09556"
V1 = "nnU-Net v1; Isensee et al. 2021, doi:10.1038/s41592-020-01008-z"
SCHEMES = {
    "ct": "CT is clipped to the foreground's percentiles 0.5 and 99.5 and scaled by its mean and deviation",
    "zscore": "channels that are not named ct, noNorm, rescale_to_0_1 or rgb_to_0_1 are z-scored, each image by itself",
    "none": "the channel's name asks for no normalization",
    "rescale": "the channel's name asks for values from 0 to 1",
    "rgb": "the channel's name asks for a division by 255",
}
"""Why a channel is normalized as it is."""
ENCODERS = {
    "plain": "a U-Net with skip connections: convolution, instance norm and leaky ReLU alike in encoder and decoder",
    "residual": "residual blocks in the encoder, for planners of that name",
}
"""What an encoder is."""
ORIENTATIONS = {
    "as-stored": "nnU-Net leaves axes as the file has them",
    "ras": "the reader that dataset.json names turns axes to superior, anterior, right",
}
"""Why axes lie as they do."""


def make_reasons(
    drafts: Drafts,
    facts: DatasetFacts,
    configurations: Sequence[Configuration],
    preparation: Preparation,
    *,
    trained: Sequence[ConfigurationName],
    settings: Settings,
) -> tuple[Reason, ...]:
    """One reason for each decision, the data set's before each network's."""
    source = V1 if drafts.planner == "nnunet-v1" else RESIDUAL if "resenc" in drafts.planner else NNUNET
    reasons = [
        *_grid_reasons(drafts, preparation, source),
        *_channel_reasons(facts, preparation, source),
        *_choice_reasons(drafts, configurations, preparation, trained, settings, source),
    ]
    by_name = {item.name: item for item in configurations}
    for draft in (drafts.flat, drafts.low, drafts.full):
        if draft is not None:
            reasons += _network_reasons(draft, by_name[draft.name], facts, source)
    return tuple(reasons)


def _grid_reasons(drafts: Drafts, preparation: Preparation, source: str) -> list[Reason]:
    target = drafts.frame.target_mm.tolist()
    coarse = "; the coarsest axis takes the 10th percentile, as it is over 3 times coarser and has few slices"
    return [
        _reason(
            "spacing_mm",
            _text(target),
            "the median spacing of the cases along the axes as stored" + coarse * drafts.frame.is_coarse,
            source,
        ),
        _reason(
            "transpose",
            _text(preparation.transpose),
            "the axis of the coarsest target spacing comes first, the others keep their order",
            source,
        ),
        _reason("orientation", preparation.orientation, ORIENTATIONS[preparation.orientation], source),
        _reason("nonzero_crop", "True", "volumes are cropped to what is not 0 in any channel", source),
        *_resampling_reasons(preparation, source),
    ]


def _resampling_reasons(preparation: Preparation, source: str) -> list[Reason]:
    half = "each label by its indicator, order 1; the highest with half of a voxel has it"
    largest = "each label by its indicator, order 1; the largest has the voxel"
    rule = preparation.resampling
    takes_half = isinstance(rule, SplineResampling) and rule.labels is not None and rule.labels.winner == "half"
    image = "splines of order 3; along an anisotropic axis the nearest slice"
    return [
        _reason("resampling.image", "order 3", image, source),
        _reason("anisotropy", "3", "an axis is anisotropic if it is more than 3 times coarser than another", source),
        _reason("resampling.labels", "half" if takes_half else "largest", half if takes_half else largest, source),
        _reason("resampling.logits", "order 1", "splines of order 1 on the way back; then the largest has it", source),
    ]


def _channel_reasons(facts: DatasetFacts, preparation: Preparation, source: str) -> list[Reason]:
    reasons = []
    for index, channel in enumerate(preparation.channels):
        name = f"channels.{index}"
        reasons.append(_reason(f"{name}.normalization", channel.normalization, SCHEMES[channel.normalization], source))
        share = f"the crop left {facts.relative_size:.0%} of the median case"
        why = f"{share}; below 75 % channels that can be are normalized inside the mask"
        reasons.append(_reason(f"{name}.masked", str(channel.masked), why, source))
    return reasons


def _choice_reasons(
    drafts: Drafts,
    configurations: Sequence[Configuration],
    preparation: Preparation,
    trained: Sequence[ConfigurationName],
    settings: Settings,
    source: str,
) -> list[Reason]:
    given, chosen = settings.asked_iterations is not None, settings.config != "auto"
    return [
        _reason("configurations", ", ".join(item.name for item in configurations), _planned_why(drafts), source),
        _reason(
            "trained",
            ", ".join(trained),
            f"--config {settings.config}" if chosen else "3d_fullres where it is planned, else 2d",
            "the user" if chosen else source,
            basis="given" if chosen else "rule",
        ),
        _reason("memory_gb", f"{drafts.memory_gb:g}", "the planner's target or the one that was given", source),
        _reason(
            "iterations",
            str(configurations[0].iterations),
            "given" if given else "nnU-Net's 1000 x 250",
            "the user" if given else source,
            basis="given" if given else "rule",
        ),
        _reason("encoder", configurations[0].encoder, ENCODERS[configurations[0].encoder], source),
        recipe_reason(make_recipe(settings, drafts.planner, preparation), settings, preparation),
    ]


def _planned_why(drafts: Drafts) -> str:
    if drafts.full is None:
        return drafts.low_reason
    return f"3d_lowres and its cascade: {drafts.low_reason}"


def _network_reasons(draft: Draft, item: Configuration, facts: DatasetFacts, source: str) -> list[Reason]:
    patch, cost = draft.topology.patch_size, draft.cost
    first = _text(draft.first_patch)
    batch = f"{draft.budget:.4g} values of feature maps fit and one patch takes {cost:.4g}"
    reasons = [
        _reason(
            f"{draft.name}.patch_size",
            _text(patch),
            f"from {first}, a patch of equal millimeters cut to the median case of {_text(draft.median_shape)}, "
            "reduced along the axis that covers most of the case until two samples fit, and padded to its strides",
            source,
        ),
        _reason(
            f"{draft.name}.batch_size",
            str(draft.batch_size),
            f"{batch}; limited by the data set's {facts.training_cases} cases, and not below nnU-Net's minimum",
            source,
        ),
        _reason(
            f"{draft.name}.strides",
            f"{len(draft.topology.strides)} stages",
            "axes within a factor 2 of the finest are pooled while they have 8 voxels; coarser ones have kernels of 1",
            source,
        ),
        _reason(
            f"{draft.name}.blocks",
            ", ".join(map(str, item.blocks)),
            "residual blocks of each stage" if item.encoder == "residual" else "convolutions of each stage",
            source,
        ),
        _reason(
            f"{draft.name}.decoder_blocks",
            ", ".join(map(str, item.decoder_blocks)),
            "convolutions of each stage of the decoder, the coarsest first",
            source,
        ),
        _reason(
            f"{draft.name}.features",
            ", ".join(map(str, draft.features)),
            "32, doubled at each stage up to the planner's limit",
            source,
        ),
    ]
    if draft.name == "3d_lowres":
        why = "the finest spacing, in steps of a constant factor, whose patch covers a quarter of the median case"
        reasons.insert(0, _reason("3d_lowres.spacing_mm", _text(draft.spacing_mm), why, source))
    return reasons


def _text(values: Sequence[int | float]) -> str:
    return " x ".join(f"{value:g}" for value in values)


def _reason(name: str, value: str, why: str, source: str, *, basis: Basis = "rule") -> Reason:
    return Reason(name=name, value=value, why=why, source=source, basis=basis)
