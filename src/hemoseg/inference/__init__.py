"""From a scan and a model bundle to a segmentation."""

from hemoseg.inference.predictor import Extras, Model, load_model

__all__ = ["Extras", "Model", "load_model"]
