"""The page of a training run, and its curves."""

from dataclasses import replace

import numpy as np
import pytest
from jinja2 import UndefinedError

from hemoseg.report import RunPage, curves_png, render, write_run_report
from hemoseg.report.curves import smooth
from hemoseg.report.html import format_metric, format_ml
from hemoseg.report.run import read_blocks, run_page
from report_scans import pixels

FOUND = {"value": 0.8123, "low": 0.7, "high": 0.9, "n": 16}
NOTHING = {"value": None, "low": None, "high": None, "n": 0}
PAGE = RunPage(
    title="hemoseg run: cohort",
    dataset_name="cohort",
    cases=80,
    train_cases=64,
    held_out_cases=16,
    plan_rows=[("spacing", "5 x 1 x 1 mm", "median <of> the cases")],
    mean={"hemorrhage": {"dice": FOUND, "nsd_1mm": NOTHING}, "edema": {"dice": FOUND}},
    per_case={
        "case_1": {"hemorrhage": {"dice": 0.5, "volume_error_ml": -12.345}, "edema": {"dice": None, "note": "empty"}},
        "case_2": {"hemorrhage": {"dice": 0.25, "volume_error_ml": 0.0}},
    },
    notes=["hemorrhage labels are silver"],
    curves=[("fold 0", b"curve")],
    montages=[("best: case_1", b"sheet")],
    methods="# Methods\n\nNetworks\nwere trained.\n\n- one reason",
    provenance={"seed": 3, "folds": [0, 1]},
)


def log(rows, **more):
    return [{"iteration": 10 * i, "loss": 1 / i, "learning_rate": 0.01, "seconds": i, **more} for i in range(1, rows)]


def test_the_page_holds_every_part(tmp_path):
    path = tmp_path / "run" / "report.html"
    write_run_report(path, PAGE)
    page = path.read_text()
    assert page == run_page(PAGE)
    for text in (
        "Research use only. Not a medical device. Not for diagnosis.",
        "hemorrhage labels are silver",
        "median &lt;of&gt; the cases",
        "[0.700, 0.900]",
        "n 16",
        "best: case_1",
        "data:image/png;base64,c2hlZXQ=",  # "sheet"
        "data:image/png;base64,Y3VydmU=",  # "curve"
        "<p>Networks were trained.</p>",
        "<li>one reason</li>",
        "<td>0, 1</td>",
    ):
        assert text in page, text
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_a_value_that_is_not_there_is_a_dash_with_its_reason():
    page = run_page(PAGE)
    assert '<td class="n" title="empty">–</td>' in page
    assert '<td class="n">-12.3</td>' in page
    assert page.count("–") == 4  # mean without value, class without metric, note, class without case


def test_parts_without_content_are_left_out():
    page = run_page(replace(PAGE, notes=[], curves=[], montages=[], per_case={}))
    for heading in ("Know before", "Held-out predictions", ">Training<", ">Cases</h2>"):
        assert heading not in page
        assert heading in run_page(PAGE)


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
    with pytest.raises(UndefinedError, match="page"):
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
    assert "Sources of the data" not in run_page(PAGE)
    page = run_page(replace(PAGE, sources=[("A <set>", "CC BY", "Author 2020"), ("own", "none", "")]))
    for text in (
        "Sources of the data",
        "A &lt;set&gt;",
        "<td>CC BY</td><td>Author 2020</td>",
        "<td>none</td><td>–</td>",
    ):
        assert text in page, text
