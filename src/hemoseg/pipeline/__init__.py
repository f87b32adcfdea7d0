"""The story, from a folder of labeled scans to a validated model, and its stages.

`hemoseg.pipeline.story` has the whole; it is not imported here, so that one stage alone starts fast.
"""

from hemoseg.pipeline.watch import Silent, Watch

__all__ = ["Silent", "Watch"]
