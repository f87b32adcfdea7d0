"""Which of the trained networks make the result, and which rules after them help."""

from hemoseg.selection.calibrate import HeldOutVolume, calibrate
from hemoseg.selection.choose import CHOICE_TEXT, ChoiceRule, candidate_names, choose
from hemoseg.selection.scores import Scores
from hemoseg.selection.search import SEARCH_TEXT, SearchRule, search_rules

__all__ = [
    "CHOICE_TEXT",
    "SEARCH_TEXT",
    "ChoiceRule",
    "HeldOutVolume",
    "Scores",
    "SearchRule",
    "calibrate",
    "candidate_names",
    "choose",
    "search_rules",
]
