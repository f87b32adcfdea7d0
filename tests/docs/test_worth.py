"""What README and card of the embedded model say of its figures is what the study's rows say."""

import sys
from importlib import import_module
from types import ModuleType

import pytest
from pages import ROOT

from hemoseg.models import embedded_folder, open_bundle


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    return import_module("worth")


def test_readme_and_card_have_the_paragraph_of_the_committed_rows(script: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    bundle = open_bundle(embedded_folder() / "phe-sich-3d")  # its hashes are right
    card = (bundle.folder / "card.md").read_text(encoding="utf-8")
    assert script.worth() in card
    assert script.renewed_card(card) == card, "python tools/worth.py --write"
    assert script.BEGIN in readme
    assert script.renewed_page(readme) == readme, "python tools/worth.py --write"


def test_the_best_of_the_peers_plans_is_named(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows by hand: the second plan has the larger sum, though less hemorrhage."""

    def row(*dices: float) -> dict[str, object]:
        mean = {name: {"dice": {"value": one}} for name, one in zip(script.CLASSES, dices, strict=True)}
        cases = [{name: {"dice": one} for name, one in zip(script.CLASSES, dices, strict=True)}]
        return {"mean": mean, "cases": cases, script.SECONDS: 600}

    rows = {
        "rule-fold-*": [row(0.5, 0.25)] * 2,
        "cv-fold-0": [row(0.75, 0.5)],
        "nnunet-*-fold-0": [row(0.7, 0.1), row(0.6, 0.4)],
    }
    monkeypatch.setattr(script, "_rows", rows.__getitem__)
    said = script.worth()
    assert "0.50 (0.50 to 0.50) for hemorrhage and 0.25 (0.25 to 0.25) for edema on the 2 held-out scans" in said
    assert "has 0.60 and 0.40 on its 1 scans with the best of 2 plans; a network made as" in said
    assert "the shipped one was has 0.75 and 0.50 there after 10 minutes" in said
