"""report.json: a contract, so keys and numbers are checked by hand."""

import json
import platform
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from hemoseg.artifacts import dump_json
from hemoseg.labels import LabelTable
from hemoseg.report.findings import (
    LISTED,
    NOTHING_FOUND,
    RESEARCH_USE_ONLY,
    gather_warnings,
    provenance,
    result_json,
    versions,
)
from hemoseg.segmentation import ClassDoubt, Doubt, Intervals, Peak, VolumeInterval
from report_scans import MODEL, TABLE, make_head, make_segmentation

HEAD = make_head()  # 5 x 4 x 4 mm: one voxel is 0.08 ml


def two_bleeds_and_edema():
    labels = np.zeros(HEAD.hu.shape, dtype=np.uint8)
    labels[3, 20, 20] = 1
    labels[5:7, 24:26, 10:13] = 1
    labels[5, 30, 10:12] = 2
    return labels


def test_of_noise_the_largest_lesions_are_listed_with_words():
    labels = np.zeros(HEAD.hu.shape, dtype=np.uint8)
    labels[::2, ::3, ::3] = 1
    labels[0, 0, 0:2] = 1
    result = result_json(make_segmentation(labels, HEAD), seconds={}, provenance={})
    count = result["lesion_count"]
    assert count == labels[::2, ::3, ::3].size > LISTED == len(result["lesions"])
    assert result["lesions"][0]["volume_ml"] == max(lesion["volume_ml"] for lesion in result["lesions"])
    assert f"{count} separate lesions, as in noise; the report lists the {LISTED} largest" in result["warnings"]


def test_the_keys_are_the_contract():
    result = result_json(make_segmentation(two_bleeds_and_edema(), HEAD), seconds={}, provenance={"a": 1})
    keys = ["volume_ml", "hemorrhage_ml", "interval", "doubt", "lesion_count", "lesions"]
    keys += ["model", "warnings", "seconds", "provenance"]
    assert list(result) == keys
    assert list(result["interval"]) == [
        *("level", "volume_ml", "hemorrhage_ml", "scans", "patients", "calibrated_on", "note"),
    ]
    assert list(result["seconds"]) == ["start", "read", "prepare", "network", "restore", "write"]
    assert {key for lesion in result["lesions"] for key in lesion} == {"class", "volume_ml", "centroid_mm", "slices"}
    assert result["model"] == {
        "name": "test-net",
        "version": "1.2.3",
        "sha256": MODEL.sha256,
        "notice": MODEL.notice,
        "engine": "openvino-fp32",
    }
    assert result["provenance"] == {"a": 1}


def test_volumes_and_lesions_by_hand():
    result = result_json(make_segmentation(two_bleeds_and_edema(), HEAD), seconds={}, provenance={})
    assert result["volume_ml"] == {"hemorrhage": 1.04, "edema": 0.16}
    assert result["hemorrhage_ml"] == 1.04
    assert [(item["class"], item["volume_ml"], item["slices"]) for item in result["lesions"]] == [
        ("hemorrhage", 0.96, [5, 6]),
        ("edema", 0.16, [5, 5]),
        ("hemorrhage", 0.08, [3, 3]),
    ]
    # indices (5.5, 24.5, 11) from a center at (4, 23.5, 19.5)
    assert result["lesions"][0]["centroid_mm"] == [-34.0, 4.0, 7.5]


def test_intervals_stand_beside_volumes_or_a_note_says_why_not():
    found = make_segmentation(two_bleeds_and_edema(), HEAD)
    without = result_json(found, seconds={}, provenance={})["interval"]
    assert without["volume_ml"] == {"hemorrhage": None, "edema": None}
    assert without["hemorrhage_ml"] is without["level"] is None
    assert without["note"] == "the model has no calibration of its volumes"
    intervals = Intervals(
        level=0.9,
        scans=16,
        patients=14,
        calibrated_on="16 scans",
        volume_ml={"hemorrhage": VolumeInterval(low_ml=0.80049, high_ml=1.3), "edema": None},
        hemorrhage_ml=VolumeInterval(low_ml=0.8, high_ml=1.3),
    )
    result = result_json(replace(found, intervals=intervals), seconds={}, provenance={})["interval"]
    assert result["volume_ml"] == {"hemorrhage": [0.8, 1.3], "edema": None}
    assert (result["level"], result["scans"], result["patients"], result["note"]) == (0.9, 16, 14, None)


def test_doubt_is_rounded_and_null_where_nobody_asked():
    found = make_segmentation(two_bleeds_and_edema(), HEAD)
    assert result_json(found, seconds={}, provenance={})["doubt"] is None
    doubt = Doubt(
        classes={"hemorrhage": ClassDoubt(largest_probability=0.87654, expected_ml=1.00049, doubtful_ml=0.2)},
        peak=Peak(probability=0.87654, center_mm=(1.234, -5.0, 6.0), slice=4),
        lower=0.2,
        lower_ml=1.5,
        members=8,
    )
    assert result_json(replace(found, doubt=doubt), seconds={}, provenance={})["doubt"] == {
        "classes": {"hemorrhage": {"largest_probability": 0.8765, "expected_ml": 1.0, "doubtful_ml": 0.2}},
        "peak": {"probability": 0.8765, "center_mm": [1.23, -5.0, 6.0], "slice": 4},
        "lower": {"probability": 0.2, "ml": 1.5},
        "members": 8,
        "disagreement_ml": None,
    }


def test_rounded_volumes_stay_within_a_microliter_of_the_mask(rng):
    volume = make_head(spacing_mm=(4.37, 0.4517, 0.4519))
    labels = (rng.random(volume.hu.shape) < 0.3).astype(np.uint8)
    result = result_json(make_segmentation(labels, volume), seconds={}, provenance={})
    assert abs(result["volume_ml"]["hemorrhage"] - labels.sum() * volume.grid.voxel_ml) < 0.001
    assert json.loads(dump_json(result)) == result


def test_seconds_are_merged_and_what_nobody_measured_is_null():
    segmentation = make_segmentation(two_bleeds_and_edema(), HEAD)
    result = result_json(segmentation, seconds={"read": 0.12345, "network": 2.0}, provenance={})
    assert result["seconds"] == {
        "start": None,
        "read": 0.123,
        "prepare": 0.25,
        "network": 2.0,
        "restore": 0.125,
        "write": None,
    }


@pytest.mark.parametrize("number", [0, 2])
def test_a_result_without_blood_is_warned_of(number):
    labels = np.full(HEAD.hu.shape, number, dtype=np.uint8)
    assert gather_warnings(make_segmentation(labels, HEAD))[0] == NOTHING_FOUND


def test_a_result_with_one_voxel_of_blood_is_not():
    labels = np.zeros(HEAD.hu.shape, dtype=np.uint8)
    labels[0, 0, 0] = 1
    assert gather_warnings(make_segmentation(labels, HEAD)) == ()


def test_warnings_of_scan_result_and_classes_each_come_once():
    scan = replace(HEAD, warnings=("clipped", "tilted"))
    segmentation = replace(
        make_segmentation(two_bleeds_and_edema(), scan, warnings=("tilted", "thin")),
        table=LabelTable(("background", "clot", "edema")),
    )
    assert gather_warnings(segmentation) == (
        "clipped",
        "tilted",
        "thin",
        "class 'clot' has no agreed meaning; it is counted as bleeding",
    )


def test_only_bleeding_classes_count_as_hemorrhage():
    labels = two_bleeds_and_edema()
    labels[7, 10, 10] = 3
    table = LabelTable((*TABLE.names, "sdh"))
    result = result_json(replace(make_segmentation(labels, HEAD), table=table), seconds={}, provenance={})
    assert result["volume_ml"] == {"hemorrhage": 1.04, "edema": 0.16, "sdh": 0.08}
    assert result["hemorrhage_ml"] == 1.12


def test_provenance_says_what_and_names_nobody():
    scan = replace(HEAD, name="Doe^Jane")
    found = provenance(scan)
    assert found["research_use_only"] == RESEARCH_USE_ONLY
    assert found["source"] == {"sha256": "cd34" * 16, "shape_zyx": [9, 48, 40], "spacing_zyx_mm": [5.0, 4.0, 4.0]}
    assert found["created"].endswith("+00:00")
    assert found["software"] == versions()
    text = dump_json(found)
    assert "Doe" not in text
    assert platform.node() not in text


def test_versions_are_found_without_importing_torch():
    code = "import sys, hemoseg.report as r; print(r.versions()['torch']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() not in ("", "None")


def test_a_package_that_is_absent_is_said_to_be(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    from hemoseg.report import findings

    def absent(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(findings, "version", absent)
    assert versions()["torch"] == "not installed"
