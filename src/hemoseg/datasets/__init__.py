"""Labeled scans in an nnU-Net v2 raw folder: index, checks, splits."""

from hemoseg.datasets.check import Finding, check_dataset
from hemoseg.datasets.index import Case, Dataset, index_dataset
from hemoseg.datasets.read import read_case, read_raw_case, source_of
from hemoseg.datasets.splits import Split, make_splits

__all__ = [
    "Case",
    "Dataset",
    "Finding",
    "Split",
    "check_dataset",
    "index_dataset",
    "make_splits",
    "read_case",
    "read_raw_case",
    "source_of",
]
