"""From a scan and a model bundle to a segmentation."""

from hemoseg.inference.predictor import Model, load_model

__all__ = ["Model", "load_model"]
