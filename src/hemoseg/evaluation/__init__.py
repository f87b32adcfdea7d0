"""Predictions measured against references."""

from hemoseg.evaluation.compare import compare_results
from hemoseg.evaluation.files import PairFiles
from hemoseg.evaluation.folders import (
    evaluate_as_nnunet,
    evaluate_challenge,
    evaluate_files,
    evaluate_folders,
    find_patients,
)
from hemoseg.evaluation.lesions import EDGES_ML as LESION_EDGES_ML
from hemoseg.evaluation.nnunet import dump_summary, from_summary
from hemoseg.evaluation.places import find_places
from hemoseg.evaluation.protocol import TOLERANCES_MM, evaluate_pair
from hemoseg.evaluation.rank import rank_results
from hemoseg.evaluation.result import read_result
from hemoseg.evaluation.slices import detection, evaluate_detection
from hemoseg.evaluation.statistics import bootstrap_mean
from hemoseg.evaluation.table import brief, cases_csv, comparison_table, format_table, rank_table

__all__ = [
    "LESION_EDGES_ML",
    "TOLERANCES_MM",
    "PairFiles",
    "bootstrap_mean",
    "brief",
    "cases_csv",
    "compare_results",
    "comparison_table",
    "detection",
    "dump_summary",
    "evaluate_as_nnunet",
    "evaluate_challenge",
    "evaluate_detection",
    "evaluate_files",
    "evaluate_folders",
    "evaluate_pair",
    "find_patients",
    "find_places",
    "format_table",
    "from_summary",
    "rank_results",
    "rank_table",
    "read_result",
]
