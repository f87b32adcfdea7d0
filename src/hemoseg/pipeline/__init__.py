"""The story: from a folder of labelled scans to a validated model."""

from hemoseg.pipeline.story import run
from hemoseg.pipeline.watch import Silent, Watch

__all__ = ["Silent", "Watch", "run"]
