"""Which normalization nnU-Net gives an image channel."""

from hemoseg.errors import InputError
from hemoseg.plan import Channel, Normalization
from hemoseg.planning.nnunet.facts import DatasetFacts

SCHEMES: dict[str, Normalization] = {
    "ct": "ct",
    "nonorm": "none",
    "zscore": "zscore",
    "rescale_to_0_1": "rescale",
    "rgb_to_0_1": "rgb",
}
"""v2's scheme for a channel's name, in any case; any other name is z-scored."""
SCHEMES_V1: dict[str, Normalization] = {"CT": "ct", "ct": "ct", "noNorm": "none"}
"""v1's scheme for a channel's name, to the letter; any other name is z-scored."""
MASKED_BELOW = 0.75
"""Channels are normalized inside the mask if the crop left less than this part of the median case."""


def make_channels(facts: DatasetFacts, *, v1: bool) -> tuple[Channel, ...]:
    """The input channels with their normalization.

    Raises:
        InputError: a CT channel without foreground intensities, in data that were measured here. From files of
            nnU-Net it is planned, as there; the plan's doubts tell.
    """
    cropped = facts.relative_size < MASKED_BELOW
    channels = []
    for index, (name, intensity) in enumerate(zip(facts.channel_names, facts.intensities, strict=True)):
        scheme = SCHEMES_V1.get(name, "zscore") if v1 else SCHEMES.get(name.casefold(), "zscore")
        masked = cropped and ("CT" not in name if v1 else scheme == "zscore")
        if scheme == "ct" and intensity is None and not facts.is_from_files:
            raise InputError(
                f"channel {index} ({name}) has no foreground intensities",
                where=facts.dataset_name,
                expected="mean, std and percentiles of the foreground, which CT is normalized by",
                remedy="extract the fingerprint again, from cases with labeled voxels",
            )
        channels.append(Channel(name=name, source=index, normalization=scheme, masked=masked, intensity=intensity))
    return tuple(channels)
