"""The story: from a folder of labeled scans to a validated model."""

from hemoseg.pipeline.story import run
from hemoseg.pipeline.watch import Silent, Watch

__all__ = ["Silent", "Watch", "run"]
