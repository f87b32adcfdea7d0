"""The page of a scan in a real browser."""

import numpy as np
import pytest
from chromium import LOG, browse

from hemoseg.report import provenance, write_result
from report_scans import ball, make_head, make_segmentation, pixels

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a head with a bleed."""
    head = make_head(shape=(16, 96, 80), spacing_mm=(5.0, 2.0, 2.0))
    labels = ball(head, (30.0, -10.0, 0.0), 16.0)
    labels[ball(head, (-30.0, 20.0, 0.0), 9.0) == 1] = 2
    out = tmp_path_factory.mktemp("out")
    write_result(make_segmentation(labels, head), out, seconds={"read": 0.1}, provenance=provenance(head))
    return out / "head" / "report.html", labels


def test_the_browser_reads_the_key_figure(page, tmp_path):
    path, labels = page
    dom = browse(path, tmp_path, "--dump-dom").stdout.decode()
    ml = np.count_nonzero(labels == 1) * 0.02
    assert f'<dd id="hemorrhage-ml">{ml:.1f} <span class="unit">ml</span></dd>' in dom
    assert "Research use only. Not a medical device. Not for diagnosis." in dom


def test_the_browser_finds_nothing_to_refuse_or_to_fetch(page, tmp_path):
    path, _ = page
    text = path.read_text()
    assert "http:" not in text
    assert "https:" not in text
    log = browse(path, tmp_path, "--dump-dom", *LOG).stderr.decode()
    assert "Content Security Policy" not in log


def test_the_page_is_seen(page, tmp_path):
    """Sheet and text are on the screen: dark pixels, white paper, the color of the contour."""
    path, _ = page
    picture = tmp_path / "page.png"
    browse(path, tmp_path, f"--screenshot={picture}")
    seen = pixels(picture.read_bytes())
    assert seen.shape == (1600, 1280, 3)
    assert (seen.max(axis=2) < 40).mean() > 0.1
    assert (seen.min(axis=2) > 250).mean() > 0.3
    assert (np.abs(seen - (255, 159, 28)).max(axis=2) < 40).sum() > 200
