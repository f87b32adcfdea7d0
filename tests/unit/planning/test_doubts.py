"""Each doubt appears where it should, and only there."""

import pytest

from fingerprints import case_facts, make_fingerprint
from hemoseg.plan import Window
from hemoseg.planning.doubts import data_doubts, foreground_doubts, size_doubts, window_doubts

SURE = [case_facts(spacing_mm=(3.0, 0.5, 0.5), ml=20.0) for _ in range(20)]


def doubts(changes, count=20):
    """Doubts about a data set without any, of which some cases are changed."""
    changed = [case_facts(**({"spacing_mm": (3.0, 0.5, 0.5), "ml": 20.0} | changes)) for _ in range(count)]
    return " / ".join(data_doubts(make_fingerprint(changed + SURE[count:])))


def test_a_good_data_set_raises_none():
    assert data_doubts(make_fingerprint(SURE)) == ()


@pytest.mark.parametrize(
    ("changes", "count", "expected"),
    [
        ({"ml": 0.0}, 20, "hemorrhage is in no case"),
        ({"ml": 0.0}, 12, "hemorrhage is in 8 cases only"),
        ({"lesions_ml": {"hemorrhage": (20.0, 0.5)}}, 3, "hemorrhage: lesions under 1 ml are in 3 cases only"),
        ({"spacing_mm": (6.5, 0.5, 0.5)}, 1, "spacing between slices ranges from 3 to 6.5 mm"),
        ({"spacing_mm": (3.0, 1.2, 0.5)}, 1, "spacing along y ranges from 0.5 to 1.2 mm"),
        ({"spacing_mm": (5.0, 0.5, 0.5)}, 20, "slices of 5 mm"),
        ({"slice_interval_mm": (3.0, 3.0, 5.0)}, 2, "unevenly spaced in 2 cases"),
        ({"brain_mode_hu": 12.0}, 1, "outside 20 to 45 HU in 1 case"),
        ({"brain_mode_hu": None}, 2, "no peak of brain tissue among the HU of 2 cases"),
        ({"hu": (-20.0, 100.0)}, 4, "4 cases clipped to [-20, 100] HU"),
        ({"hu": (0.0, 80.0)}, 4, "cuts into 40 to 90 HU of acute blood"),
    ],
)
def test_a_doubt_about_data(changes, count, expected):
    assert expected in doubts(changes, count)


def test_few_patients():
    assert data_doubts(make_fingerprint(SURE[:1]))[0] == "only 1 patient: cross-validation will be uncertain"


def test_a_window_hides_blood_unless_another_shows_it():
    paper, brain = Window(name="paper", low_hu=66.5, high_hu=125.5), Window(name="brain", low_hu=0, high_hu=80)
    assert "shows 47% of the range 40 to 90 HU" in window_doubts([paper], None)[0]
    edema = Window(name="edema", low_hu=5, high_hu=45)
    assert "shows 10% of the range" in window_doubts([edema], None)[0]
    assert window_doubts([edema, brain], None) == ()
    assert "window paper [66.5, 125.5] HU reaches beyond [0, 100] HU" in window_doubts([paper, brain], (0.0, 100.0))[1]


@pytest.mark.parametrize("name", ["paper", "59/96", "mine"])
def test_the_printed_window_is_told_of_in_any_company(name):
    printed, brain = Window(name=name, low_hu=66.5, high_hu=125.5), Window(name="brain", low_hu=0, high_hu=80)
    (doubt,) = window_doubts([brain, printed], None)
    assert doubt.startswith(f"window {name} [66.5, 125.5] HU shows 47% of the range 40 to 90 HU of acute blood")
    assert doubt.endswith("lost to the network but for what other windows show of it")


def test_memory_close_to_the_limit_and_too_few_steps():
    assert size_doubts(7000.0, 8.0, device="cpu", is_long_enough=True) == ()
    assert "7.50 GB, close to 8 GB" in size_doubts(7500.0, 8.0, device="cpu", is_long_enough=True)[0]
    assert "9.00 GB, beyond 8 GB" in size_doubts(9000.0, 8.0, device="cpu", is_long_enough=True)[0]
    assert len(size_doubts(9000.0, None, device="cuda", is_long_enough=False)) == 2


def test_ignored_voxels() -> None:
    assert "4 cases with ignored voxels, a share of 0.05 of a mean case" in doubts({"ignored_share": 0.25}, 4)
    assert "1 case ignored as a whole" in doubts({"ignored_share": 1.0}, 1)
    assert foreground_doubts(make_fingerprint(SURE)) == ()
    (doubt,) = foreground_doubts(make_fingerprint([*SURE, case_facts(ignored_share=0.1)]))
    assert "ignored voxels for foreground" in doubt


def test_pseudo_hu_are_doubted_instead_of_what_they_lack() -> None:
    cases = [case.model_copy(update={"hu_min": 0.0, "hu_max": 79.0}) for case in SURE]
    found = data_doubts(make_fingerprint(cases, pseudo_hu=(0.0, 80.0)))
    assert found[0].startswith("the data are pseudo-HU rebuilt from 8-bit windows, range [0, 80] HU")
    assert found[1:] == ("the clipped range cuts into 40 to 90 HU of acute blood",)
