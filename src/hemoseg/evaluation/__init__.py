"""Predictions measured against references."""

from hemoseg.evaluation.folders import evaluate_folders, evaluate_pairs
from hemoseg.evaluation.protocol import evaluate_pair
from hemoseg.evaluation.table import format_table

__all__ = ["evaluate_folders", "evaluate_pair", "evaluate_pairs", "format_table"]
