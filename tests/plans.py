"""Small plans and volumes for tests."""

import numpy as np

from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.plan import AverageResampling, Channel, Configuration, Plan, Preparation, Window

AXES_LPS = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def tiny_configuration(**changes: object) -> Configuration:
    """A network that trains in milliseconds."""
    values: dict[str, object] = {
        "name": "3d_fullres",
        "spacing_mm": (5.0, 2.0, 2.0),
        "patch_size": (4, 16, 16),
        "batch_size": 2,
        "features": (4, 8),
        "strides": ((1, 1, 1), (1, 2, 2)),
        "kernels": ((1, 3, 3), (3, 3, 3)),
        "median_shape": (12.0, 40.0, 36.0),
        "blocks": (2, 2),
        "decoder_blocks": (2,),
        "batch_dice": True,
        "mirror_axes": (2,),
        "precision": "fp32",
        "iterations": 12,
    }
    return Configuration.model_validate(values | changes)


def tiny_preparation(**changes: object) -> Preparation:
    """Head crop and two windows that come last."""
    windows = (Window(name="brain", low_hu=0, high_hu=80), Window(name="wide", low_hu=-20, high_hu=100))
    values: dict[str, object] = {
        "orientation": "canonical",
        "channels": tuple(Channel(name=window.name, window=window) for window in windows),
        "windowed": "last",
        "head_crop": True,
        "nonzero_crop": False,
        "resampling": AverageResampling(),
    }
    return Preparation.model_validate(values | changes)


def tiny_plan(*configurations: Configuration, **changes: object) -> Plan:
    """A plan of two classes and two windows; a previous stage that is not given is planned and not trained."""
    configurations = configurations or (tiny_configuration(),)
    given = {configuration.name for configuration in configurations}
    needed = {one.previous_stage for one in configurations if one.previous_stage is not None} - given
    values: dict[str, object] = {
        "dataset_name": "Tiny",
        "labels": ("background", "hemorrhage", "edema"),
        "preparation": tiny_preparation(),
        "configurations": (*(tiny_configuration(name=name) for name in sorted(needed)), *configurations),
        "trained": tuple(configuration.name for configuration in configurations),
        "memory_gb": 1.0,
        "seed": 0,
    }
    return Plan.model_validate(values | changes)


def head_volume(
    shape: tuple[int, int, int] = (12, 40, 36), spacing_mm: tuple[float, float, float] = (5.0, 2.0, 2.0)
) -> Volume:
    """A skull of 600 HU around brain of 30 HU with a bleed of 65 HU, in air; no two axes or sides alike."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.sqrt((z / 1.2) ** 2 + (y / 0.8) ** 2 + ((x + 0.1) / 0.7) ** 2)
    hu = np.full(shape, -1000.0, dtype=np.float32)
    hu[radius < 1] = 600
    hu[radius < 0.9] = 30
    hu[((z - 0.2) / 0.3) ** 2 + ((y + 0.2) / 0.2) ** 2 + ((x - 0.2) / 0.15) ** 2 < 1] = 65
    grid = Grid(shape=shape, spacing_mm=spacing_mm, origin_lps_mm=(-30.0, -40.0, 12.0), direction=AXES_LPS)
    return Volume(hu=hu, grid=grid, slices=uniform_slices(grid), name="head")
