"""Foreground intensities as a plan and a fingerprint have them."""

from pydantic import BaseModel, ConfigDict


class Intensity(BaseModel):
    """Foreground intensities of one image channel over a data set, in nnU-Net's words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    """Mean."""
    median: float
    """Median."""
    std: float
    """Population standard deviation."""
    min: float
    """Smallest value."""
    max: float
    """Largest value."""
    percentile_00_5: float
    """0.5th percentile: the lower bound that CT is clipped to."""
    percentile_99_5: float
    """99.5th percentile: the upper bound."""
