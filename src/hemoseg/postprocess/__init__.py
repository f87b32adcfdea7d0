"""Rules that change a label map after the networks: what they are, and what they do."""

from hemoseg.postprocess.apply import apply_rules
from hemoseg.postprocess.doubt import FEWEST_VOTERS, Tally, Vote, low_vote, nothing_found, second_look
from hemoseg.postprocess.probabilities import Probabilities, mean_probabilities, read_probabilities, write_probabilities
from hemoseg.postprocess.rules import (
    InsideSkull,
    KeepLargest,
    MinimumConfidence,
    MinimumVolume,
    Rule,
    Threshold,
    classes_of,
    needs_probabilities,
)

__all__ = [
    "FEWEST_VOTERS",
    "InsideSkull",
    "KeepLargest",
    "MinimumConfidence",
    "MinimumVolume",
    "Probabilities",
    "Rule",
    "Tally",
    "Threshold",
    "Vote",
    "apply_rules",
    "classes_of",
    "low_vote",
    "mean_probabilities",
    "needs_probabilities",
    "nothing_found",
    "read_probabilities",
    "second_look",
    "write_probabilities",
]
