"""The data doctor: what is wrong with a data set, measured once per case and judged apart from that."""

from hemoseg.datasets.doctor.diagnose import diagnose
from hemoseg.datasets.doctor.examine import CaseFacts, Examination, examine_case
from hemoseg.datasets.doctor.finding import Finding
from hemoseg.datasets.doctor.kinds import KINDS, Kind, Severity
from hemoseg.datasets.doctor.repair import Mending, mend_case, mend_description
from hemoseg.datasets.doctor.result import CheckResult, Instance, Repair, Row, count_rows, make_rows
from hemoseg.datasets.doctor.survey import Entry, Survey, survey_dataset

__all__ = [
    "KINDS",
    "CaseFacts",
    "CheckResult",
    "Entry",
    "Examination",
    "Finding",
    "Instance",
    "Kind",
    "Mending",
    "Repair",
    "Row",
    "Severity",
    "Survey",
    "count_rows",
    "diagnose",
    "examine_case",
    "make_rows",
    "mend_case",
    "mend_description",
    "survey_dataset",
]
