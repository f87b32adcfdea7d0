"""nnU-Net's own planners, decision for decision. Pure: facts and settings in, plan out."""

from hemoseg.planning.nnunet.facts import DatasetFacts
from hemoseg.planning.nnunet.make import NNUNET_RECIPE, make_nnunet_plan

__all__ = ["NNUNET_RECIPE", "DatasetFacts", "make_nnunet_plan"]
