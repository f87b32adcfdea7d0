"""The standard workload: scans of clinical size made from phe-sich, the same bytes each time."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hemoseg.artifacts import whole_file, write_json
from hemoseg.errors import InputError
from hemoseg.geometry import Grid, Volume, uniform_slices
from hemoseg.io import read_labels, read_scan, write_mask, write_scan
from hemoseg.preprocess import resample
from hemoseg.types import LabelMap

SOURCE, DATASET = "phe-sich", "Dataset001_Standard"
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
    return [_write_gzip(out / f"{name}.nii.gz", volume) for name, volume, _ in _enlarged(data, scans)]


def write_dataset(data: Path, out: Path, *, cases: int = 10) -> Path:
    """Write the same scans with their label maps as an nnU-Net v2 raw data set.

    Args:
        data: folder that holds `phe-sich`.
        out: folder for the data set's folder.
        cases: how many.

    Returns:
        The data set's folder, `out`/Dataset001_Standard.

    Raises:
        InputError: phe-sich has fewer.
    """
    root = out / DATASET
    for name, volume, labels in _enlarged(data, cases):
        _write_gzip(root / "imagesTr" / f"{name}_0000.nii.gz", volume)
        _write_gzip(root / "labelsTr" / f"{name}.nii.gz", volume, labels)
    description = json.loads((data / SOURCE / "dataset.json").read_text())
    write_json(root / "dataset.json", {**description, "numTraining": cases})
    return root


def _enlarged(data: Path, count: int) -> Iterator[tuple[str, Volume, LabelMap]]:
    """Name, scan and label map of each case; the first of the data set, by name, with enough slices."""
    found = 0
    for source in sorted((data / SOURCE / "imagesTr").glob("*_0000.nii.gz")):
        if found == count:
            return
        volume = read_scan(source)
        orientation = volume.grid.canonical_orientation()
        hu, grid = orientation.apply(volume.hu), volume.grid.reoriented(orientation)
        if len(hu) < SLICES:
            continue
        name = source.name.removesuffix("_0000.nii.gz")
        labels, _ = read_labels(data / SOURCE / "labelsTr" / f"{name}.nii.gz")
        noise = np.random.default_rng(found)
        yield name, enlarge(hu, grid, name=name, noise=noise), enlarge_labels(orientation.apply(labels))
        found += 1
    if found < count:
        raise InputError(
            f"{found} scans of at least {SLICES} slices",
            where=data / SOURCE,
            expected=f"at least {count}",
            remedy="name the folder that holds phe-sich with --data, or take fewer",
        )


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


def enlarge_labels(labels: np.ndarray) -> LabelMap:
    """The label map of the same slices on 512 x 512 pixels: the class of the nearest pixel.

    Args:
        labels: class numbers, axes (z, y, x), at least 30 slices.
    """
    first = (len(labels) - SLICES) // 2
    y, x = ((np.arange(EDGE) + 0.5) * size // EDGE for size in labels.shape[1:])
    fine = labels[first : first + SLICES][:, y.astype(int)][:, :, x.astype(int)]
    return np.ascontiguousarray(fine, dtype=np.uint8)


def _write_gzip(path: Path, volume: Volume, labels: LabelMap | None = None) -> Path:
    """Write a scan, or a label map in its frame, as the commonest tools would: gzip level 6."""
    plain = path.with_suffix("")
    if labels is None:
        write_scan(plain, volume)
    else:
        write_mask(plain, labels, volume)
    with whole_file(path) as temporary:
        temporary.write_bytes(gzip.compress(plain.read_bytes(), GZIP_LEVEL, mtime=0))
    plain.unlink()
    return path
