"""Model bundles: folders with weights, plan, selection, card and hashes; some come with the package."""

from hemoseg.models.agreement import Agreement, EngineAgreement, TestPatch, sampled
from hemoseg.models.bundle import (
    Bundle,
    Manifest,
    Measured,
    check_bundle_name,
    check_bundle_target,
    embedded_folder,
    find_bundle,
    list_bundles,
    open_bundle,
    verify_bundle,
    weights_name,
    write_bundle,
    write_measured,
)
from hemoseg.models.calibration import SHOWN_ML, Calibration, Kind, VolumeCalibration
from hemoseg.models.selection import Candidate, Difference, Evidence, Selection, Trial
from hemoseg.models.terms import NOTICE, TERMS

__all__ = [
    "NOTICE",
    "SHOWN_ML",
    "TERMS",
    "Agreement",
    "Bundle",
    "Calibration",
    "Candidate",
    "Difference",
    "EngineAgreement",
    "Evidence",
    "Kind",
    "Manifest",
    "Measured",
    "Selection",
    "TestPatch",
    "Trial",
    "VolumeCalibration",
    "check_bundle_name",
    "check_bundle_target",
    "embedded_folder",
    "find_bundle",
    "list_bundles",
    "open_bundle",
    "sampled",
    "verify_bundle",
    "weights_name",
    "write_bundle",
    "write_measured",
]
