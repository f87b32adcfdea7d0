"""The result of one scan on disk: mask.nii.gz, report.html, report.json."""

import os
import re
import time
from pathlib import Path
from typing import Any

from hemoseg.artifacts import dump_json, whole_folder
from hemoseg.errors import InputError
from hemoseg.io import write_map, write_mask
from hemoseg.report.figures import BRAIN_WINDOW, montage_png
from hemoseg.report.findings import RESEARCH_USE_ONLY, result_json
from hemoseg.report.html import data_uri, render
from hemoseg.report.slices import is_stored_axially
from hemoseg.segmentation import Segmentation

BESIDE_DOUBT = 3
"""Slices shown on either side of the one where blood is likeliest, if nothing is segmented."""
LESIONS_SHOWN = 20
"""Rows of the page's lesion table; report.json lists more."""


RESULT_FILES = re.compile(
    r"mask\.nii\.gz|report\.html|report\.json|entropy\.nii\.gz|disagreement\.nii\.gz|probability_\d+_[^/]*\.nii\.gz"
)
"""What a scan's folder holds; a folder with anything else in it is not ours to replace."""


def check_target(folder: Path) -> None:
    """Make sure that the folder of a scan's result is free, or holds an older result and nothing else.

    Raises:
        InputError: it holds other files, is a file, or would lie in a file.
    """
    above = next(path for path in folder.absolute().parents if os.path.lexists(path))
    if not above.is_dir():
        raise InputError(
            "a file, where a folder of results should be",
            where=above,
            expected="a folder, or a path where one can be made",
            remedy="choose another --out folder",
        )
    foreign = [folder.name] if folder.is_file() else []
    if folder.is_dir():
        foreign = sorted(path.name for path in folder.iterdir() if not RESULT_FILES.fullmatch(path.name))
    if foreign:
        raise InputError(
            f"is in the way: it holds {', '.join(foreign[:8])}",
            where=folder,
            expected="no such folder, or one with an older result alone",
            remedy="choose another --out folder",
        )


def write_result(
    segmentation: Segmentation, out: Path, *, seconds: dict[str, float], provenance: dict[str, Any]
) -> dict[str, Any]:
    """Write the folder `out`/NAME of one scan; it appears whole or not at all, an older one goes.

    Args:
        segmentation: the result.
        out: folder of all results.
        seconds: time in s spent so far, by stage; `write` is measured here: mask and page.
        provenance: see `hemoseg.report.provenance`.

    Returns:
        The value of report.json.

    Raises:
        InputError: the folder is there already and holds other files.
        ResourceError: the disk is full or the folder cannot be written.
    """
    volume = segmentation.volume
    check_target(out / volume.name)
    began = time.monotonic()
    with whole_folder(out / volume.name) as folder:
        write_mask(folder / "mask.nii.gz", segmentation.labels, volume)
        _write_maps(folder, segmentation)
        result = result_json(segmentation, seconds=seconds, provenance=provenance)
        (folder / "report.html").write_text(scan_page(segmentation, result), encoding="utf-8")
        result["seconds"]["write"] = round(time.monotonic() - began, 3)
        (folder / "report.json").write_text(dump_json(result), encoding="utf-8")
    return result


def _slices_in_doubt(segmentation: Segmentation) -> tuple[int, ...]:
    """Where nothing is segmented and blood is not unlikely, the slices around the place; else none."""
    doubt, grid = segmentation.doubt, segmentation.volume.grid
    if doubt is None or doubt.peak is None or doubt.lower_ml == 0 or not is_stored_axially(grid):
        return ()
    if segmentation.labels.any():
        return ()
    first = max(0, doubt.peak.slice - BESIDE_DOUBT)
    return tuple(range(first, min(grid.shape[0], doubt.peak.slice + BESIDE_DOUBT + 1)))


def _write_maps(folder: Path, segmentation: Segmentation) -> None:
    """Write what is there by voxel beside the labels: doubt, probabilities."""
    volume, maps, probabilities = segmentation.volume, segmentation.maps, segmentation.probabilities
    if maps is not None:
        write_map(folder / "entropy.nii.gz", maps.entropy, volume)
        if maps.disagreement is not None:
            write_map(folder / "disagreement.nii.gz", maps.disagreement, volume)
    if probabilities is not None:
        for number, (name, values) in enumerate(zip(segmentation.table.members, probabilities, strict=True), start=1):
            readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
            write_map(folder / f"probability_{number}_{readable}.nii.gz", values, volume)


def scan_page(segmentation: Segmentation, result: dict[str, Any]) -> str:
    """The page of one scan as HTML.

    Args:
        segmentation: the result.
        result: its `result_json`.
    """
    around = _slices_in_doubt(segmentation)
    montage = montage_png(segmentation.volume, segmentation.labels, table=segmentation.table, slices=around)
    return render(
        "scan.html.j2",
        name=segmentation.volume.name,
        research_use_only=RESEARCH_USE_ONLY,
        result=result,
        bleeding=segmentation.table.bleeding,
        lesions=result["lesions"][:LESIONS_SHOWN],
        lesions_left=result["lesion_count"] - LESIONS_SHOWN,
        montage=data_uri(montage),
        is_around_doubt=bool(around),
        window=BRAIN_WINDOW,
        stored_axially=is_stored_axially(segmentation.volume.grid),
        seconds={stage: value for stage, value in result["seconds"].items() if value is not None},
    )
