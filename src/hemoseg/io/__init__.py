"""Scans in, masks out. NIfTI's RAS world and (i, j, k) order exist in this package only."""

from hemoseg.io.frame import SPACING_LIMITS_MM
from hemoseg.io.labels import read_labels
from hemoseg.io.nifti import read_place
from hemoseg.io.nifti import stem as scan_name
from hemoseg.io.scan import RawScan, read_raw, read_scan, reading_bytes
from hemoseg.io.write import write_labels, write_map, write_mask, write_scan

__all__ = [
    "SPACING_LIMITS_MM",
    "RawScan",
    "read_labels",
    "read_place",
    "read_raw",
    "read_scan",
    "reading_bytes",
    "scan_name",
    "write_labels",
    "write_map",
    "write_mask",
    "write_scan",
]
