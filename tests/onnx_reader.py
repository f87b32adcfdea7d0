"""A program that knows docs/reference/onnx-contract.md and nothing of hemoseg: label maps of plans for head CT."""

import json
from itertools import product, zip_longest
from math import ceil

import nibabel
import numpy as np
import onnxruntime
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from scipy import ndimage


def segment(folder, path):
    """The label map of a scan, axes (x, y, z) as its file has them."""
    contract, scan = json.loads((folder / "contract.json").read_text()), nibabel.load(path)
    plan = contract["plan"]
    (configuration,) = (one for one in plan["configurations"] if [one["name"]] == contract["stages"])
    there, canonical = io_orientation(scan.affine), axcodes2ornt("LPS")
    turned = scan.as_reoriented(ornt_transform(there, canonical))
    hu, mm = turned.get_fdata(dtype=np.float32).T, turned.header.get_zooms()[2::-1]
    shown = [(one["window"], one["scale"]) for one in plan["preparation"]["channels"]]
    windows = [(window["low_hu"], window["high_hu"], *scale) for window, scale in shown]
    box = head_box(hu) if plan["preparation"]["head_crop"] else (slice(None),) * 3
    cut = hu[box].clip(min(one[0] for one in windows), max(one[1] for one in windows))
    shape = [max(1, round(a / b * n)) for n, a, b in zip(cut.shape, mm, configuration["spacing_mm"], strict=True)]
    image = resampled(cut[None], shape)[0]
    channels = [low + (image.clip(a, b) - a) * ((high - low) / (b - a)) for a, b, low, high in windows]
    logits = resampled(blended(channels, contract, configuration, folder), cut.shape)
    found, shares = logits.argmax(axis=0).astype(np.uint8), np.exp(logits - logits.max(axis=0))
    shares = (shares / shares.sum(axis=0)).astype(np.float16)
    for rule in contract["selection"]["postprocessing"]:
        assert rule["kind"] == "minimum-confidence"
        number = plan["labels"].index(rule["class_name"])
        lesions, count = ndimage.label(found == number, np.ones((3, 3, 3)))
        sure = ndimage.mean(shares[number].astype(float), lesions, range(1, count + 1)) >= rule["probability"]
        found[(lesions > 0) & ~np.insert(sure, 0, False)[lesions]] = 0
    full = np.zeros(hu.shape, np.uint8)
    full[box] = found
    return apply_orientation(full.T, ornt_transform(canonical, there))


def head_box(hu):
    """The largest part above -10 HU, opened slice by slice."""
    cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]])
    parts, count = ndimage.label(ndimage.binary_opening(hu > -10, cross))
    largest = np.bincount(parts.ravel())[1:].argmax() if count else None
    return (slice(None),) * 3 if largest is None else ndimage.find_objects(parts)[largest]


def resampled(stack, shape):
    """Channels on another number of voxels over the same extent: means where that is coarser, else linear."""
    for axis, m in enumerate(shape, start=1):
        n = stack.shape[axis]
        weights = np.diff(np.clip(np.arange(m + 1)[:, None] * n / m - np.arange(n), 0, 1), axis=0) * m / n
        if m > n:
            places = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
            weights = np.maximum(0, 1 - abs(places[:, None] - np.arange(n)))
        stack = np.moveaxis(np.tensordot(weights.astype(np.float32), stack, (1, axis)), 0, axis)
    return stack


def blended(channels, contract, configuration, folder):
    """Logits of the prepared grid, from the tiles of a configuration's networks."""
    networks = [one["file"] for one in contract["networks"] if one["configuration"] == configuration["name"]]
    runs = [onnxruntime.InferenceSession(folder / file).run for file in networks]
    mirrored = configuration["mirror_axes"] if contract["selection"]["mirror"] else []
    choices = product(*((False, axis in mirrored) for axis in range(3)))  # both the same where it is not
    flips = sorted({tuple(np.flatnonzero(choice) + 1) for choice in choices})
    patch = np.array(configuration["patch_size"])
    missing = np.maximum(0, patch - channels[0].shape)
    pad = np.stack([missing // 2, missing - missing // 2], axis=1)
    outside = zip_longest(channels, contract["outside"], fillvalue=0)
    along, within = pad * [[1], [0], [0]], pad * [[0], [1], [1]]
    image = np.stack([np.pad(one, within, constant_values=value) for one, value in outside]).astype(np.float32)
    beyond = {"mode": "edge"} if contract["repeats_slices"] else {}
    image = np.pad(image, [(0, 0), *along], **beyond)
    starts = []
    for n, p in zip(image.shape[1:], patch.tolist(), strict=True):
        k = ceil((n - p) / (p * contract["tile_step"])) + 1
        starts.append([round(i * ((n - p) / max(1, k - 1))) for i in range(k)])
    point = (patch // 2 == np.indices(patch).T).all(axis=-1).T * 1.0
    weight = ndimage.gaussian_filter(point, patch * contract["weight_sigma"], mode="constant", truncate=4)
    weight = (np.where(weight > 0, weight, weight[weight > 0].min()) / weight.max()).astype(np.float32)
    total, sums = 0.0, np.zeros(image.shape[1:], np.float32)
    for place in product(*starts):
        box = tuple(slice(start, start + p) for start, p in zip(place, patch, strict=True))
        tiles = [(np.flip(image[:, *box], flip)[None].copy(), flip) for flip in flips]
        seen = [np.flip(run(None, {"patches": tile})[0][0], flip) for run in runs for tile, flip in tiles]
        total = np.zeros((len(seen[0]), *sums.shape), np.float32) if np.isscalar(total) else total
        total[:, *box] += np.mean(seen, axis=0) * weight
        sums[box] += weight
    return (total / sums)[:, *(slice(a, n - b) for (a, b), n in zip(pad, sums.shape, strict=True))]
