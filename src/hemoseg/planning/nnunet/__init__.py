"""nnU-Net's own planners, decision for decision. Pure: facts and settings in, plan out."""

from hemoseg.planning.nnunet.facts import TURNING_READERS, DatasetFacts, orientation_by
from hemoseg.planning.nnunet.from_fingerprint import facts_from_fingerprint
from hemoseg.planning.nnunet.make import INTENSITIES, make_nnunet_plan

__all__ = [
    "INTENSITIES",
    "TURNING_READERS",
    "DatasetFacts",
    "facts_from_fingerprint",
    "make_nnunet_plan",
    "orientation_by",
]
