"""The folder of one scan and its page."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import nibabel
import numpy as np
import pytest

from hemoseg.geometry import Orientation
from hemoseg.io import read_labels
from hemoseg.labels import LabelTable
from hemoseg.report import result_json, write_result
from hemoseg.report.scan import scan_page
from hemoseg.segmentation import ClassDoubt, Doubt, DoubtMaps, Intervals, Peak, VolumeInterval
from report_scans import ball, make_head, make_segmentation

HEAD = make_head()
BLEED = ball(HEAD, (30.0, -20.0, 5.0), 14.0)
EMPTY = np.zeros(HEAD.hu.shape, dtype=np.uint8)
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Outline(HTMLParser):
    """Tags of a page, checked for being closed in order, and its text."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data} "


def read_page(page):
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    return outline


def page_of(labels, volume=HEAD, **changes):
    segmentation = make_segmentation(labels, volume, **changes)
    result = result_json(segmentation, seconds={"read": 0.5}, provenance={"software": {"hemoseg": "9.9"}, "none": None})
    return scan_page(segmentation, result)


def test_a_result_is_a_folder_of_three_files(tmp_path):
    segmentation = make_segmentation(BLEED, HEAD)
    result = write_result(segmentation, tmp_path, seconds={"start": 1.0, "read": 0.5}, provenance={"seed": 1})
    folder = tmp_path / "head"
    assert sorted(path.name for path in folder.iterdir()) == ["mask.nii.gz", "report.html", "report.json"]
    assert json.loads((folder / "report.json").read_text()) == result
    labels, _ = read_labels(folder / "mask.nii.gz")
    np.testing.assert_array_equal(labels, BLEED)
    assert result["seconds"]["start"] == 1.0
    assert 0 < result["seconds"]["write"] < 60
    assert list(tmp_path.iterdir()) == [folder]


def test_maps_and_probabilities_lie_beside_the_mask_in_its_frame(tmp_path, rng):
    maps = DoubtMaps(entropy=rng.random(HEAD.hu.shape).astype(np.float16), disagreement=None)
    probabilities = rng.random((2, *HEAD.hu.shape)).astype(np.float16)
    table = LabelTable(("background", "hemorrhage", "edema / swelling"))
    segmentation = replace(make_segmentation(BLEED, HEAD), maps=maps, probabilities=probabilities, table=table)
    write_result(segmentation, tmp_path, seconds={}, provenance={})
    folder = tmp_path / "head"
    written = {path.name: nibabel.load(path) for path in folder.glob("*.nii.gz")}
    assert sorted(written) == [
        *("entropy.nii.gz", "mask.nii.gz", "probability_1_hemorrhage.nii.gz", "probability_2_edema-swelling.nii.gz")
    ]
    for name, values in (("entropy", maps.entropy), ("probability_2_edema-swelling", probabilities[1])):
        image = written[f"{name}.nii.gz"]
        assert image.get_data_dtype() == np.float32
        assert np.array_equal(image.affine, written["mask.nii.gz"].affine)
        assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), values.astype(np.float32))
    write_result(make_segmentation(BLEED, HEAD), tmp_path, seconds={}, provenance={})
    assert not list(folder.glob("probability*"))


def test_a_second_result_takes_the_place_of_the_first(tmp_path):
    for labels in (BLEED, EMPTY):
        write_result(make_segmentation(labels, HEAD), tmp_path, seconds={}, provenance={})
    assert json.loads((tmp_path / "head" / "report.json").read_text())["hemorrhage_ml"] == 0
    assert list(tmp_path.iterdir()) == [tmp_path / "head"]


def test_a_failure_leaves_the_older_result(tmp_path):
    write_result(make_segmentation(BLEED, HEAD), tmp_path, seconds={}, provenance={})
    before = (tmp_path / "head" / "report.json").read_text()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_result(make_segmentation(EMPTY, HEAD), tmp_path, seconds={}, provenance={"x": float("nan")})
    assert (tmp_path / "head" / "report.json").read_text() == before


def test_the_page_needs_no_network_and_no_script():
    page = page_of(BLEED)
    outline = read_page(page)
    assert "http:" not in page
    assert "https:" not in page
    assert not {tag for tag, _ in outline.tags} & {"script", "link", "iframe", "object"}
    policy = next(attrs for tag, attrs in outline.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    images = [attrs for tag, attrs in outline.tags if tag == "img"]
    assert len(images) == 1
    assert images[0]["src"].startswith("data:image/png;base64,iVBOR")
    assert "hemorrhage" in images[0]["alt"]
    assert ("html", {"lang": "en"}) in outline.tags


def test_the_page_says_what_a_reader_must_know():
    text = " ".join(read_page(page_of(BLEED, warnings=("the slices are thick",))).text.split())
    ml = BLEED.sum() * 0.08
    assert "hemoseg report — scan head" in text
    assert "Research use only. Not a medical device. Not for diagnosis." in text
    assert f"Hemorrhage {ml:.1f} ml" in text
    assert "edema, not included 0 ml" in text
    assert "the slices are thick" in text
    assert "brain window: 0 HU and below is black, 80 HU and above is white" in text
    assert "patient’s left (L) is on the right" in text
    assert "test-net 1.2.3" in text
    assert "ab12ab12ab12ab12…" in text
    assert "software hemoseg 9.9" in text
    assert "none –" in text
    assert "read 0.50 s, prepare 0.25 s, network 1.50 s, restore 0.12 s" in text


def test_the_page_shows_intervals_and_what_they_rest_on():
    intervals = Intervals(
        level=0.9,
        scans=16,
        patients=14,
        calibrated_on="16 held-out scans of 14 patients of Heads, fold 0",
        volume_ml={"hemorrhage": VolumeInterval(low_ml=10.26, high_ml=15.04), "edema": None},
        hemorrhage_ml=VolumeInterval(low_ml=10.26, high_ml=15.04),
    )
    segmentation = replace(make_segmentation(BLEED, HEAD), intervals=intervals)
    text = " ".join(
        read_page(scan_page(segmentation, result_json(segmentation, seconds={}, provenance={}))).text.split()
    )
    assert "10.3 to 15.0 ml" in text
    assert "intervals of 90 %, calibrated on 16 held-out scans of 14 patients of Heads, fold 0" in text
    without = " ".join(read_page(page_of(BLEED)).text.split())
    assert "No intervals around the volumes: the model has no calibration of its volumes." in without


def test_the_page_shows_doubt():
    doubt = Doubt(
        classes={
            "hemorrhage": ClassDoubt(largest_probability=0.43, expected_ml=0.75, doubtful_ml=1.25),
            "edema": ClassDoubt(largest_probability=0.0, expected_ml=0.0, doubtful_ml=0.0),
        },
        peak=Peak(probability=0.43, center_mm=(1.25, -5.0, 6.0), slice=4),
        lower=0.2,
        lower_ml=1.5,
        members=8,
    )
    segmentation = replace(make_segmentation(EMPTY, HEAD), doubt=doubt)
    page = scan_page(segmentation, result_json(segmentation, seconds={}, provenance={}))
    text = " ".join(read_page(page).text.split())
    assert "the 8 members of the average say before any rule" in text
    assert "hemorrhage 0 0.75 1.25 0.430" in text
    assert "edema 0 0 0 below 0.001" in text
    assert "slice 4 at 1.2, -5.0, 6.0 mm (x, y, z, LPS): 0.430. Its probability exceeds 0.2 in 1.50 ml" in text
    assert "Nothing is segmented: slices around slice 4, where blood is likeliest." in text
    unlikely = replace(segmentation, doubt=replace(doubt, lower_ml=0.0))
    found = replace(segmentation, labels=BLEED)
    for other in (unlikely, found):
        assert "slices around" not in scan_page(other, result_json(other, seconds={}, provenance={}))
    assert "Doubt" not in read_page(page_of(EMPTY)).text


def test_an_empty_mask_is_no_all_clear():
    text = read_page(page_of(EMPTY)).text
    assert "no hemorrhage was segmented; this does not exclude one" in text
    assert "None segmented." in text


def test_names_and_texts_are_escaped():
    page = page_of(BLEED, replace(HEAD, name="<b>&"), warnings=("<script>alert(1)</script>",))
    assert "<script" not in page
    assert "scan &lt;b&gt;&amp;" in page
    assert "For &lt;tests&gt; only." in page


@pytest.mark.parametrize(
    ("lesions", "left"), [(20, None), (21, "1 smaller lesion is not shown"), (25, "5 smaller lesions are not shown")]
)
def test_a_long_table_of_lesions_is_cut_and_says_so(lesions, left):
    labels = EMPTY.copy()
    for number in range(lesions):
        labels[4, 10 + 3 * (number % 9), 8 + 3 * (number // 9)] = 1
    outline = read_page(page_of(labels))
    assert outline.text.count("0.08") == 20
    assert ("smaller" in outline.text) == (left is not None)
    assert left is None or left in outline.text


def test_files_that_are_not_axial_have_a_caption_of_their_own():
    coronal = Orientation(axes=(1, 0, 2), flips=(False, False, False))
    turned = replace(
        HEAD,
        hu=np.ascontiguousarray(coronal.apply(HEAD.hu)),
        grid=HEAD.grid.reoriented(coronal),
        slices=HEAD.slices[:1] * 48,
    )
    text = read_page(page_of(np.ascontiguousarray(coronal.apply(BLEED)), turned)).text
    assert "own slices are not axial" in text
    assert "own slices are not axial" not in read_page(page_of(BLEED)).text
