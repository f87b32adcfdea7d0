"""Scans and results for the tests of the report: a head with bleeds, small enough to count voxels."""

from io import BytesIO

import numpy as np
from jaxtyping import Float
from PIL import Image

from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.labels import LabelTable
from hemoseg.segmentation import ModelIdentity, Segmentation
from hemoseg.types import FloatZYX, IntZYX, LabelMap

TABLE = LabelTable(("background", "hemorrhage", "edema"))
MODEL = ModelIdentity(
    name="test-net", version="1.2.3", sha256="ab12" * 16, notice="For <tests> only.", engine="openvino-fp32"
)


def make_head(
    *, shape: IntZYX = (9, 48, 40), spacing_mm: FloatZYX = (5.0, 4.0, 4.0), name: str = "head", seed: int = 0
) -> Volume:
    """An ellipsoid of brain in a skull in air, LPS axes, its center at the world's origin."""
    ends = [(n - 1) / 2 * spacing for n, spacing in zip(shape, spacing_mm, strict=True)]
    grid = Grid(
        shape=shape,
        spacing_mm=spacing_mm,
        origin_lps_mm=(-ends[2], -ends[1], -ends[0]),
        direction=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    )
    axes = (np.linspace(-1, 1, n) for n in shape)
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    radius = np.sqrt((z / 1.1) ** 2 + (y / 0.85) ** 2 + (x / 0.8) ** 2)
    hu = np.full(shape, -1000, dtype=np.float32)
    hu[radius < 1] = 900
    hu[radius < 0.88] = 32
    hu += np.random.default_rng(seed).normal(0, 4, shape).astype(np.float32)
    return Volume(hu=hu, grid=grid, slices=uniform_slices(grid), name=name, sha256="cd34" * 16)


def ball(volume: Volume, center_lps_mm: tuple[float, float, float], radius_mm: float) -> LabelMap:
    """Class 1 in a ball around a world position of a scan made by `make_head`."""
    grid = volume.grid
    z, y, x = (
        origin + np.arange(n) * spacing
        for origin, n, spacing in zip(reversed(grid.origin_lps_mm), grid.shape, grid.spacing_mm, strict=True)
    )
    far = (
        (z[:, None, None] - center_lps_mm[2]) ** 2
        + (y[None, :, None] - center_lps_mm[1]) ** 2
        + (x[None, None, :] - center_lps_mm[0]) ** 2
    )
    return (far <= radius_mm**2).astype(np.uint8)


def make_segmentation(labels: LabelMap, volume: Volume, *, warnings: tuple[str, ...] = ()) -> Segmentation:
    """A result with these labels."""
    seconds = {"prepare": 0.25, "network": 1.5, "restore": 0.125}
    return Segmentation(labels=labels, table=TABLE, volume=volume, model=MODEL, warnings=warnings, seconds=seconds)


def pixels(png: bytes) -> Float[np.ndarray, "h w 3"]:
    """A picture as RGB values 0..255."""
    with Image.open(BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float32)
