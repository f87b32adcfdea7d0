"""From a scan and a model bundle to a segmentation."""

from hemoseg.inference.findings import Extras
from hemoseg.inference.limits import Limits
from hemoseg.inference.load import check_possible, load_model
from hemoseg.inference.predictor import Model

__all__ = ["Extras", "Limits", "Model", "check_possible", "load_model"]
