"""The page of a training run, and its curves."""

import base64
import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from jinja2 import UndefinedError

from hemoseg.datasets import Histogram, Source
from hemoseg.report import CaseRow, RunReport, curves_png, dataset_png, render, write_run_report
from hemoseg.report.curves import smooth
from hemoseg.report.histograms import log_edges
from hemoseg.report.html import format_metric, format_ml, format_quantity
from hemoseg.report.run import case_columns, read_blocks, run_page
from report_scans import pixels
from run_pages import PICTURES, REPORT


def with_parts(**changes):
    return run_page(REPORT.model_copy(update=changes), PICTURES)


def log(rows, **more):
    return [{"iteration": 10 * i, "loss": 1 / i, "learning_rate": 0.01, "seconds": i, **more} for i in range(1, rows)]


def test_the_page_holds_every_part(tmp_path):
    path = write_run_report(tmp_path / "run", REPORT, PICTURES)
    page = path.read_text()
    assert page == run_page(REPORT, PICTURES)
    for text in (
        *("at 10 ml", "7.57 to 13.1", "93.8 %", "16 held-out scans of 14 patients of cohort, folds 0, 1"),
        "Research use only. Not a medical device. Not for diagnosis.",
        "hemorrhage labels are silver",
        "median &lt;of&gt; the cases",
        "[0.700, 0.900]",
        "n 16",
        "best: case_1",
        "data:image/png;base64,c2hlZXQ=",  # "sheet"
        "data:image/png;base64,Y3VydmU=",  # "curve"
        "data:image/png;base64,ZGF0YQ==",  # "data"
        "<p>Networks were trained.</p>",
        "<li>one reason</li>",
        "<td>0, 1</td>",
        '<th scope="row"><a href="#picture-0">case_1</a> (best)</th>',
        '<figure id="picture-0">',
        "below 0.1 ml",
        "from 1 ml",
        "missed 2",
        '<td class="n">1 of 5</td>',
        '<td class="n">7</td><td class="n">2.50</td>',
        "slice thickness, mm",
        "[0.0, 120.0] HU",
        "lesions of hemorrhage from 0.3 ml",
        "hemorrhage 0.750 → 0.700",
        "[-0.0500, +0.0625]",
    ):
        assert text in page, text
    assert "http" not in page.replace("http-equiv", "")


def test_the_json_says_what_the_page_says(tmp_path):
    write_run_report(tmp_path, REPORT, PICTURES)
    found = json.loads((tmp_path / "report.json").read_text())
    assert RunReport.model_validate(found) == REPORT
    assert found["version"] == 1
    assert found["notice"].startswith("Research use only")


def test_one_script_may_run_and_it_is_the_one_that_is_there():
    page = run_page(REPORT, PICTURES)
    (text,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_a_value_that_is_not_there_is_a_dash_with_its_reason():
    page = run_page(REPORT, PICTURES)
    assert '<td class="n" data-value="" title="empty">–</td>' in page
    assert '<td class="n" data-value="-12.345">-12.3</td>' in page


def test_any_or_the_first_class_has_all_metrics_and_others_dice():
    assert case_columns(REPORT.cases) == {"hemorrhage": ["dice", "volume_error_ml"], "edema": ["dice"]}
    row = CaseRow(case="a", patient="a", fold=0, classes={name: {"dice": 1.0, "rvd": 0.0} for name in ("iph", "any")})
    assert case_columns([row]) == {"any": ["dice", "rvd"], "iph": ["dice"]}
    assert case_columns([]) == {}


def test_a_table_of_many_classes_fits_a_page():
    scores = {"reference_ml": 1.0, "dice": 1.0, "nsd_0.42mm": 1.0, "nsd_1mm": 1.0, "rvd": 0.0}
    row = CaseRow(case="a", patient="a", fold=0, classes=dict.fromkeys(("iph", "sdh", "any"), scores))
    assert case_columns([row]) == {"any": ["reference_ml", "dice", "nsd_1mm"], "iph": ["dice"], "sdh": ["dice"]}


def test_each_head_of_the_table_names_its_column():
    page = run_page(REPORT, PICTURES)
    heads = re.findall(r'data-column="(\d)"[^>]*>([^<]*)<', page)
    assert heads == [("0", "Case"), ("1", "fold"), ("2", "Dice"), ("3", "volume error, ml"), ("4", "Dice")]


def test_parts_without_content_are_left_out():
    selection = REPORT.selection.model_copy(update={"evidence": None})
    page = run_page(REPORT.model_copy(update={"warnings": (), "selection": selection}), replace(PICTURES, overlays=[]))
    for heading in ("Know before", "Held-out predictions", "Bold: chosen"):
        assert heading not in page
        assert heading in run_page(REPORT, PICTURES)
    assert "no rule was tried" in page


def test_blocks_of_the_methods():
    text = "# Top\n\nfirst\nline\n\n## Why\n\n- a\n  goes on\n- b\n\n1. x\n   y\n2. z\n"
    assert read_blocks(text) == [
        ("text", ["first line"]),
        ("heading", ["Why"]),
        ("bullets", ["a goes on", "b"]),
        ("numbers", ["x y", "z"]),
    ]
    assert read_blocks("") == []


def test_a_template_gets_all_it_names():
    with pytest.raises(UndefinedError, match="script_source"):
        render("run.html.j2", research_use_only="")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.004, "< 0.01"),
        (0.005, "0.01"),
        (1.234, "1.23"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (123.4, "123.4"),
    ],
)
def test_milliliters_for_reading(value, text):
    assert format_ml(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.1234, "0.123"), (-2.5, "-2.500"), (-12.34, "-12.3")])
def test_metrics_for_reading(value, text):
    assert format_metric(value) == text


def test_smoothing_keeps_length_level_and_ends():
    flat = np.full(80, 0.7)
    np.testing.assert_allclose(smooth(flat), flat)
    step = smooth(np.array([0.0] * 40 + [1.0] * 40))  # window of 2 on either side
    assert step[:37].max() == 0
    np.testing.assert_allclose(step[37:43], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_array_equal(smooth(np.array([3.0, 1.0])), [3.0, 1.0])


def test_curves_have_a_second_panel_for_dice_alone():
    one = pixels(curves_png(log(30), "fold 0"))
    two = pixels(curves_png(log(30, dice={"hemorrhage": 0.5, "edema": 0.2}), "fold 0"))
    assert two.shape[1] > one.shape[1]
    assert two.std() > 10


def test_a_log_without_rows_is_an_empty_picture():
    assert pixels(curves_png([], "fold 0")).min() < 255


def test_sources_are_listed_with_terms_and_citation():
    assert "Sources of the data" not in run_page(REPORT, PICTURES)
    sources = (
        Source(name="A <set>", license="CC BY", citation="Author 2020"),
        Source(name="own", license="none", citation=""),
    )
    page = with_parts(data=REPORT.data.model_copy(update={"sources": sources}))
    for text in (
        *("at 10 ml", "7.57 to 13.1", "93.8 %", "16 held-out scans of 14 patients of cohort, folds 0, 1"),
        "Sources of the data",
        "A &lt;set&gt;",
        "<td>CC BY</td><td>Author 2020</td>",
        "<td>none</td><td>–</td>",
    ):
        assert text in page, text


def test_histograms_of_a_data_set_show_what_is_there():
    hu = Histogram.of(np.arange(40, 80, dtype=np.int16).repeat(3))
    whole = pixels(dataset_png({"hemorrhage": [0.1, 2.0, 30.0], "edema": []}, [5.0, 5.0], [0.4, 0.5], [hu]))
    bare = pixels(dataset_png({"hemorrhage": []}, [5.0], [0.4], None))
    assert whole.shape == bare.shape
    corner = (slice(0, whole.shape[0] // 4), slice(3 * whole.shape[1] // 4, None))  # of the panel of HU
    assert whole[corner].min() < 100
    assert bare[corner].min() == 255


def test_edges_of_volumes_hold_all_of_them():
    edges = log_edges([0.002, 80.0])
    assert edges[0] < 0.002
    assert edges[-1] > 80.0
    assert np.all(np.diff(log_edges([3.0])) > 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dice", "Dice"),
        ("nsd_0.42mm", "surface Dice at 0.42 mm"),
        ("hd95_mm", "HD95, mm"),
        ("volume_error_ml", "volume error, ml"),
        ("lesion_f1", "lesion F1"),
        ("slices", "slices"),
    ],
)
def test_quantities_for_reading(name, text):
    assert format_quantity(name) == text
