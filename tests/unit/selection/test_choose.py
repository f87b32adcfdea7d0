"""The choice among configurations."""

from hemoseg.selection import choose
from plans import tiny_configuration, tiny_plan


def result(*dice):
    return {"mean": {f"class{i}": {"dice": {"value": value}} for i, value in enumerate(dice)}}


def test_the_higher_mean_dice_wins_and_undefined_classes_do_not_count():
    plan = tiny_plan(tiny_configuration(name="2d"), tiny_configuration())
    folds = {"2d": (0,), "3d_fullres": (0, 1)}
    chosen = choose(plan, folds, {"2d": result(0.5, 0.7), "3d_fullres": result(0.7, None)})
    assert chosen.configuration == "3d_fullres"
    assert chosen.folds == {"3d_fullres": (0, 1)}


def test_the_first_of_equals_wins():
    plan = tiny_plan(tiny_configuration(name="2d"), tiny_configuration())
    chosen = choose(plan, {"2d": (0,), "3d_fullres": (0,)}, {"2d": result(0.5), "3d_fullres": result(0.5)})
    assert chosen.configuration == "2d"


def test_a_cascade_brings_its_first_stage():
    low = tiny_configuration(name="3d_lowres")
    full = tiny_configuration(name="3d_cascade_fullres", previous_stage="3d_lowres")
    folds = {"3d_lowres": (0, 1, 2, 3, 4), "3d_cascade_fullres": (0,)}
    chosen = choose(tiny_plan(low, full), folds, {"3d_lowres": result(0.1), "3d_cascade_fullres": result(0.2)})
    assert chosen.folds == folds


def test_any_is_made_of_the_classes_and_does_not_count_twice():
    plan = tiny_plan(tiny_configuration(name="2d"), tiny_configuration())
    results = {"2d": result(0.6, 0.6), "3d_fullres": result(0.9, 0.2)}
    for found, value in zip(results.values(), (0.6, 0.9), strict=True):
        found["mean"]["any"] = {"dice": {"value": value}}
    assert choose(plan, {"2d": (0,), "3d_fullres": (0,)}, results).configuration == "2d"
