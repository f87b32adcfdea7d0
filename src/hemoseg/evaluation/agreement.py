"""Agreement of predicted with reference volumes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hemoseg.evaluation.statistics import NORMAL_95, SEED, bootstrap_mean


def bland_altman(
    reference_ml: Sequence[float], prediction_ml: Sequence[float], patients: Sequence[str]
) -> dict[str, Any]:
    """Bias and limits of agreement of two measurements of the same volumes; cases without any are part of it.

    The limits hold 95 % of the differences if these are normal and do not grow with the volume: look at the plot.

    Args:
        reference_ml: volume of each case in the reference.
        prediction_ml: in the prediction.
        patients: whose case each is, for the interval of the bias.

    Returns:
        `bias_ml` {value, low, high, n}: mean of prediction minus reference with its bootstrap interval; `sd_ml`,
        the standard deviation of the differences, and `limits_ml` [lower, upper], both None for a single case.

    Source:
        Bland and Altman, Lancet 327:307–310 (1986), doi:10.1016/S0140-6736(86)90837-8.

    Example:
        >>> found = bland_altman([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], ["a", "b", "c"])
        >>> found["bias_ml"]["value"], found["limits_ml"]
        (1.0, [1.0, 1.0])
    """
    difference = np.asarray(prediction_ml, dtype=float) - np.asarray(reference_ml, dtype=float)
    bias = bootstrap_mean(difference.tolist(), seed=SEED, patients=patients)
    if len(difference) < 2 or bias.value is None:
        return {"bias_ml": bias.as_json(), "sd_ml": None, "limits_ml": None}
    deviation = float(difference.std(ddof=1))
    limits = [bias.value - NORMAL_95 * deviation, bias.value + NORMAL_95 * deviation]
    return {"bias_ml": bias.as_json(), "sd_ml": deviation, "limits_ml": limits}
