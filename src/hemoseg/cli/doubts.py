"""Options of `segment` for what is asked beyond the mask."""

from enum import StrEnum
from typing import Annotated

import typer

DOUBT = "Doubt and averages"


class AverageName(StrEnum):
    """What is averaged over folds and mirrored copies."""

    logits = "logits"
    probabilities = "probabilities"


AverageOption = Annotated[
    AverageName,
    typer.Option(
        "--average",
        help="What is averaged over folds and mirrored copies: logits as nnU-Net v2 does, or probabilities.",
        rich_help_panel=DOUBT,
    ),
]
ProbabilitiesOption = Annotated[
    bool,
    typer.Option(
        "--probabilities",
        help="Write the probabilities of each class on the scan's grid: probability_N_CLASS.nii.gz.",
        rich_help_panel=DOUBT,
    ),
]
DoubtOption = Annotated[
    bool,
    typer.Option(
        "--doubt",
        help="Write maps from 0 to 1: entropy.nii.gz, and disagreement.nii.gz of folds, configurations and mirrored "
        "copies where there are several.",
        rich_help_panel=DOUBT,
    ),
]
LowVote = Annotated[
    bool,
    typer.Option(
        "--low-vote",
        help="In scans where members of the average do not agree, two votes for hemorrhage are enough.",
        rich_help_panel=DOUBT,
    ),
]
SecondLook = Annotated[
    bool,
    typer.Option(
        "--second-look",
        help="Where no hemorrhage is segmented, put what has a probability above 0.2 in the mask.",
        rich_help_panel=DOUBT,
    ),
]


def check_layout(*, is_flat: bool, doubt: bool, probabilities: bool) -> None:
    """Refuse maps where each scan gets one file.

    Raises:
        typer.BadParameter: they were asked for.
    """
    if is_flat and (doubt or probabilities):
        asked = "--doubt" if doubt else "--probabilities"
        raise typer.BadParameter(f"{asked} writes files of its own, and --layout flat has one per scan: leave out one")
