"""nnU-Net's own planners, decision for decision. Pure: facts and settings in, plan out."""

from hemoseg.planning.nnunet.facts import DatasetFacts
from hemoseg.planning.nnunet.from_fingerprint import facts_from_fingerprint
from hemoseg.planning.nnunet.make import INTENSITIES, NNUNET_RECIPE, make_nnunet_plan

__all__ = ["INTENSITIES", "NNUNET_RECIPE", "DatasetFacts", "facts_from_fingerprint", "make_nnunet_plan"]
