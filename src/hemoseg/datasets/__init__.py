"""Labeled scans in an nnU-Net v2 raw folder: index, checks, measures, splits."""

from hemoseg.datasets.facts import CaseFacts, measure_case
from hemoseg.datasets.histogram import Histogram
from hemoseg.datasets.index import Case, Dataset, index_dataset
from hemoseg.datasets.measure import Measuring, measure_one, read_record
from hemoseg.datasets.read import read_case, read_raw_case, source_of
from hemoseg.datasets.sources import (
    CaseNotes,
    DatasetSources,
    Detection,
    Source,
    pseudo_hu_text,
    read_sources,
    record_lines,
    source_text,
)
from hemoseg.datasets.splits import (
    Split,
    SplitCase,
    check_leaks,
    first_patients,
    nnunet_splits,
    shuffled_splits,
    split_cases,
    stratified_splits,
    volume_strata,
    with_patients,
)

__all__ = [
    "Case",
    "CaseFacts",
    "CaseNotes",
    "Dataset",
    "DatasetSources",
    "Detection",
    "Histogram",
    "Measuring",
    "Source",
    "Split",
    "SplitCase",
    "check_leaks",
    "first_patients",
    "index_dataset",
    "measure_case",
    "measure_one",
    "nnunet_splits",
    "pseudo_hu_text",
    "read_case",
    "read_raw_case",
    "read_record",
    "read_sources",
    "record_lines",
    "shuffled_splits",
    "source_of",
    "source_text",
    "split_cases",
    "stratified_splits",
    "volume_strata",
    "with_patients",
]
