import json
from io import StringIO

import pytest
from rich.console import Console

from bundles import write_tiny_bundle
from hemoseg.demo import NEVER_TRAINED, run_demo
from hemoseg.models import embedded_folder, list_bundles
from hemoseg.phantom import PhantomSpec

SHAPE, SPACING_MM = (16, 64, 60), (9.5, 3.5, 3.5)
HEADS = (
    PhantomSpec(site="none", seed=1, shape=SHAPE, spacing_mm=SPACING_MM),
    PhantomSpec(site="deep", volume_ml=30.0, edema_ml=20.0, seed=2, shape=SHAPE, spacing_mm=SPACING_MM),
)


def run(out, **options):
    """What the console shows, results.json, and the page."""
    text = StringIO()
    page = run_demo(out, console=Console(file=text, width=120), **options)
    return text.getvalue(), json.loads((out / "results.json").read_text()), page


def test_demo_tells_what_an_untrained_model_does(tmp_path):
    """An untrained network is wrong, and the demo says so: errors are measured minus exact volume."""
    bundle = write_tiny_bundle(tmp_path / "tiny")
    shown, results, page = run(tmp_path / "out", specs=HEADS, model=bundle)
    none, deep = results["phantoms"]
    assert none["truth_ml"] == {"hemorrhage": 0.0, "edema": 0.0}
    assert deep["truth_ml"] == {"hemorrhage": 30.0, "edema": 20.0}
    for entry in (none, deep):
        for name in ("hemorrhage", "edema"):
            measured, error = entry["measured_ml"][name], entry["error_ml"][name]
            assert error == pytest.approx(measured - entry["truth_ml"][name], abs=0.0015)
    assert results["note"] == NEVER_TRAINED
    assert results["model"]["name"] == "tiny"
    assert "deep-30ml" in shown
    assert f"{deep['error_ml']['hemorrhage']:+.2f}" in shown

    html = page.read_text()
    assert page == tmp_path / "out" / "index.html"
    assert html.count("<img ") == html.count("data:image/png;base64,") == len(HEADS)
    assert NEVER_TRAINED in html
    assert "Research use only. Not a medical device." in html
    assert "Untrained. Research use only." in html
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")


@pytest.mark.skipif(not list(list_bundles(embedded_folder())), reason="no embedded model in this tree")
def test_embedded_model_finds_a_large_deep_bleed(tmp_path):
    """One usual phantom, half the usual pixels. The bound is far below what a useful model reaches."""
    spec = PhantomSpec(site="deep", volume_ml=25.0, seed=103, shape=(32, 128, 128), spacing_mm=(5.0, 1.8, 1.8))
    _, results, _ = run(tmp_path / "out", specs=(spec,))
    assert results["phantoms"][0]["metrics"]["hemorrhage"]["dice"] > 0.5
