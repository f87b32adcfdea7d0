"""Which NIfTI files are results of ours: no folder or pattern takes them for scans."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

REPORT = "report.json"
"""What lies beside a mask and maps of ours."""


def without_results(paths: Iterable[Path]) -> list[Path]:
    """The files that are no masks or maps of ours: neither beside a report, nor written by `--layout flat`."""
    flat: dict[Path, set[str]] = {}
    left = []
    for path in paths:
        if path.parent not in flat:
            flat[path.parent] = _flat_masks(path.parent)
        if path.name not in flat[path.parent] and not _is_beside_report(path):
            left.append(path)
    return left


def _is_beside_report(path: Path) -> bool:
    if not (path.parent / REPORT).is_file():
        return False
    from hemoseg.report.scan import RESULT_FILES

    return RESULT_FILES.fullmatch(path.name) is not None


def _flat_masks(folder: Path) -> set[str]:
    """Names of the masks that calls with `--layout flat` wrote into a folder, from their manifests.

    A line that cannot be read ends a manifest: whether it is damaged is told when results are written.
    """
    names: set[str] = set()
    for manifest in folder.glob("manifest*.jsonl"):
        with suppress(OSError, ValueError, TypeError, KeyError):
            first, *lines = manifest.read_text(encoding="utf-8").splitlines()
            if json.loads(first)["options"]["layout"] == "flat":
                names.update(json.loads(line)["name"] + ".nii.gz" for line in lines)
    return names
