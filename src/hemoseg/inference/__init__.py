"""From a scan and a model bundle to a segmentation."""

from hemoseg.inference.limits import Limits
from hemoseg.inference.predictor import Extras, Model, load_model

__all__ = ["Extras", "Limits", "Model", "load_model"]
