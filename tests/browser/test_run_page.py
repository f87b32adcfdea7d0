"""The page of a run in a real browser: it asks for nothing, complains of nothing, and sorts."""

import base64
import hashlib
import re

import pytest
from chromium import LOG, browse

from hemoseg.evaluation.table import KEY_METRICS
from hemoseg.report import write_run_report
from run_pages import FOUND, PICTURES, REPORT, case_row

pytestmark = pytest.mark.system

DICE = {"head10": 0.5, "head2": None, "head1": 0.75, "head7": -0.125, "head3": 0.0}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with cases out of order, one without a value."""
    cases = tuple(case_row(name, dice) for name, dice in DICE.items())
    return write_run_report(tmp_path_factory.mktemp("run"), REPORT.model_copy(update={"cases": cases}), PICTURES)


def dom_after(page, tmp_path, script, *options):
    """The document after a script, which the policy of a copy allows."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = page.read_text().replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    copy = tmp_path / "clicked.html"
    copy.write_text(text.replace("</body>", f"<script>{script}</script></body>"))
    return browse(copy, tmp_path, "--dump-dom", *options).stdout.decode()


def after(page, tmp_path, *clicks):
    """The names of cases and the heads' states after clicks on heads."""
    script = "".join(f"document.querySelector('th[data-column=\"{column}\"] button').click();" for column in clicks)
    dom = dom_after(page, tmp_path, script)
    (table,) = re.findall(r'<table class="dense sortable">.*?</table>', dom, flags=re.DOTALL)
    rows = re.findall(r'<tr><th scope="row">(?:<a [^>]*>)?(\w+)', table)
    return rows, re.findall(r'data-column="(\d)" aria-sort="(\w+)"', table)


def test_the_browser_fetches_nothing_and_complains_of_nothing(page, tmp_path):
    text = page.read_text()
    assert "http:" not in text
    assert "https:" not in text
    done = browse(page, tmp_path, "--dump-dom", *LOG)
    assert "CONSOLE" not in done.stderr.decode()
    assert "Content Security Policy" not in done.stderr.decode()
    assert done.stdout.decode().count("<button") == 11  # the script did run


def test_a_refused_script_would_be_seen(page, tmp_path):
    """The log tells of a script that the policy does not name: the test above can fail."""
    copy = tmp_path / "foreign.html"
    copy.write_text(page.read_text().replace("</body>", "<script>document.title = 1;</script></body>"))
    assert "Content Security Policy" in browse(copy, tmp_path, "--dump-dom", *LOG).stderr.decode()


def test_names_are_sorted_as_people_count(page, tmp_path):
    names = ["head1", "head2", "head3", "head7", "head10"]
    assert after(page, tmp_path, 0) == (names, [("0", "ascending")])
    assert after(page, tmp_path, 0, 0) == (names[::-1], [("0", "descending")])


def test_figures_are_sorted_by_size_and_what_lacks_one_is_last(page, tmp_path):
    assert after(page, tmp_path, 2) == (["head7", "head3", "head10", "head1", "head2"], [("2", "ascending")])
    assert after(page, tmp_path, 0, 2, 2) == (["head1", "head10", "head3", "head7", "head2"], [("2", "descending")])


def test_without_a_click_the_order_is_that_of_the_report(page, tmp_path):
    assert after(page, tmp_path) == (list(DICE), [])


def test_tables_of_six_classes_fit_a_laptop(tmp_path):
    """With names as long as those of RSNA's scans; what is wider could be scrolled, but is lost on paper."""
    names = ("any", "edh", "iph", "ivh", "sah", "sdh")
    cases = tuple(case_row(f"ID_{number:08x}_00000000", 0.5, classes=names) for number in range(3))
    trial = REPORT.selection.evidence.trials[0].model_copy(
        update={"before": dict.fromkeys(names, 0.5), "after": dict.fromkeys(names, 0.625)}
    )
    evidence = REPORT.selection.evidence.model_copy(update={"trials": (trial,)})
    report = REPORT.model_copy(
        update={
            "cases": cases,
            "mean": {name: dict.fromkeys(KEY_METRICS, FOUND) for name in names},
            "selection": REPORT.selection.model_copy(update={"evidence": evidence}),
        }
    )
    page = write_run_report(tmp_path / "run", report, PICTURES)
    script = (
        "document.title = [...document.querySelectorAll('.scroll')]"
        ".map(one => one.scrollWidth > one.clientWidth ? one.innerText : '').join('')"
        ";"
    )
    assert re.findall("<title>(.*?)</title>", dom_after(page, tmp_path, script), flags=re.DOTALL) == [""]
