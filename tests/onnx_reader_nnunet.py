"""The same for plans of nnU-Net's planners: preparation and way back by docs/reference/onnx-contract.md alone."""

import json

import nibabel
import numpy as np
from scipy import ndimage

from onnx_reader import blended


def segment(folder, path):
    """The label map of a scan, axes (x, y, z) as its file has them."""
    contract, scan = json.loads((folder / "contract.json").read_text()), nibabel.load(path)
    how, regions = contract["plan"]["preparation"], contract["plan"]["regions"]
    axes, (channel,) = how["transpose"], how["channels"]
    hu, of = scan.get_fdata(dtype=np.float32).T.transpose(axes), channel["intensity"]
    mm = [scan.header.get_zooms()[2::-1][axis] for axis in axes]
    inside = ndimage.binary_fill_holes(hu != 0)
    (box,) = ndimage.find_objects(inside.astype(int))
    cut = (hu[box].clip(of["percentile_00_5"], of["percentile_99_5"]) - of["mean"]) / max(of["std"], 1e-8)
    found, classes = {}, len(contract["plan"]["labels"]) - 1
    for name in contract["stages"]:
        (one,) = (one for one in contract["plan"]["configurations"] if one["name"] == name)
        target = [near if want is None else want for near, want in zip(mm, one["spacing_mm"], strict=True)]
        shape = [max(1, round(a / b * n)) for n, a, b in zip(cut.shape, mm, target, strict=True)]
        rules = how["resampling"]
        channels = [resized(cut, shape, rules["image"], mm, target)]
        if one["previous_stage"] is not None:
            before = np.where(inside[box] | (found[one["previous_stage"]] > 0), found[one["previous_stage"]], -1)
            numbers = range(-1, classes + 1)
            near = before[np.ix_(*map(nearest, before.shape, shape))]
            shares = [resized((before == number) * 1.0, shape, rules["labels"], mm, target) for number in numbers]
            shares = [share + 1e-9 * (near == number) for number, share in zip(numbers, shares, strict=True)]
            channels += [np.argmax(shares, axis=0) == number + 1 for number in numbers if number > 0]
        logits = blended(channels, contract, one, folder)
        logits = np.stack([resized(each, cut.shape, rules["logits"], target, mm) for each in logits])
        found[name] = logits.argmax(axis=0)
        if regions:
            found[name] *= 0
            for logit, region in zip(logits, regions, strict=True):
                found[name][logit > 0] = region["paint"]
    full = np.zeros(hu.shape, np.uint8)
    full[box] = found[name]
    return full.transpose(np.argsort(axes)).T


def nearest(n, m):
    """For each of m voxels the nearest of n over the same extent, the later of two."""
    return np.floor(np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1) + 0.5).astype(int)


def resized(array, shape, rule, before_mm, after_mm):
    """An array over the same extent; along an axis that is treated apart, plane by plane, then the nearest plane."""
    uneven = next((mm for mm in (before_mm, after_mm) if max(mm) > 3 * min(mm)), None)
    if uneven is None or sorted(uneven)[1] == max(uneven):
        return zoomed(array, shape, rule["order"])
    assert rule["z_order"] == 0
    apart = int(np.argmax(uneven))
    within = [1 if axis == apart else m for axis, m in enumerate(shape)]
    planes = [zoomed(plane, within, rule["order"]) for plane in np.split(array, array.shape[apart], apart)]
    return np.concatenate(planes, apart).take(nearest(len(planes), shape[apart]), apart)


def zoomed(array, shape, order):
    """A spline of an array at the centers of other voxels, within the range of the array."""
    if array.shape == tuple(shape):
        return array
    zoom = [m / n for n, m in zip(array.shape, shape, strict=True)]
    found = ndimage.zoom(array.astype(float), zoom, order=order, mode="nearest", grid_mode=True)
    return found.clip(array.min(), array.max())
