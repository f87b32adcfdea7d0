"""The standard workload: scans of clinical size made from phe-sich, the same bytes each time."""

import gzip
from pathlib import Path

import numpy as np

from hemoseg.artifacts import whole_file
from hemoseg.errors import InputError
from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.io import read_scan, write_scan
from hemoseg.preprocess import resample

SLICES, EDGE = 30, 512
NOISE_HU = 4.0
"""Standard deviation of the noise that is added, as interpolation took the noise of the source away."""
GZIP_LEVEL = 6


def write_workload(data: Path, out: Path, *, scans: int) -> list[Path]:
    """Write scans of 30 x 512 x 512 voxels, int16, gzip level 6, whose axes run to superior, posterior and left.

    Args:
        data: folder that holds `phe-sich`.
        out: folder for the scans.
        scans: how many; the first of the data set, by name, with enough slices.

    Raises:
        InputError: the data set has fewer.
    """
    paths: list[Path] = []
    for source in sorted((data / "phe-sich" / "imagesTr").glob("*_0000.nii.gz")):
        if len(paths) == scans:
            break
        volume = read_scan(source)
        orientation = volume.grid.canonical_orientation()
        hu, grid = orientation.apply(volume.hu), volume.grid.reoriented(orientation)
        if len(hu) < SLICES:
            continue
        name = source.name.removesuffix("_0000.nii.gz")
        enlarged = enlarge(hu, grid, name=name, noise=np.random.default_rng(len(paths)))
        paths.append(_write_gzip(out / f"{name}.nii.gz", enlarged))
    if len(paths) < scans:
        raise InputError(
            f"{len(paths)} scans of at least {SLICES} slices",
            where=data / "phe-sich",
            expected=f"at least {scans}",
            remedy="name the folder that holds phe-sich with --data, or take fewer with --scans",
        )
    return paths


def enlarge(hu: np.ndarray, grid: Grid, *, name: str, noise: np.random.Generator) -> Volume:
    """The middle slices on 512 x 512 pixels with new noise, within the range of HU that the source had.

    Args:
        hu: HU, axes (z, y, x), at least 30 slices.
        grid: where they lie.
        name: name of the volume.
        noise: where the noise is drawn from.
    """
    first = (len(hu) - SLICES) // 2
    cut = np.ascontiguousarray(hu[first : first + SLICES])
    fine = resample(cut, (SLICES, EDGE, EDGE)) + noise.normal(0, NOISE_HU, (SLICES, EDGE, EDGE)).astype(np.float32)
    ratio = [1.0, hu.shape[1] / EDGE, hu.shape[2] / EDGE]
    affine = grid.affine_lps
    affine[:3, 3] = grid.world([float(first), (ratio[1] - 1) / 2, (ratio[2] - 1) / 2])
    affine[:3, :3] *= np.array(ratio)
    new_grid = Grid.from_affine((SLICES, EDGE, EDGE), affine)
    whole = np.rint(np.clip(fine, hu.min(), hu.max()))
    return Volume(hu=whole, grid=new_grid, slices=uniform_slices(new_grid), name=name)


def _write_gzip(path: Path, volume: Volume) -> Path:
    plain = path.with_suffix("")
    write_scan(plain, volume)
    with whole_file(path) as temporary:
        temporary.write_bytes(gzip.compress(plain.read_bytes(), GZIP_LEVEL, mtime=0))
    plain.unlink()
    return path
