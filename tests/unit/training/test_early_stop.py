"""Early stopping by nnU-Net v1's base rule, by hand."""

import pytest

from hemoseg.planning.recipes import HEADCT_RECIPE, NNUNET_RECIPE
from hemoseg.training.early_stop import LOW_RATE, Patience, earliest_stop, shortest_schedule
from hemoseg.training.schedule import learning_rate


def run(losses, rates, patience):
    """(epoch at which it stopped or None, the wait then)."""
    wait = Patience()
    for epoch, (loss, rate) in enumerate(zip(losses, rates, strict=True)):
        wait, stop = wait.after(epoch, loss, rate, patience=patience)
        if stop:
            return epoch, wait
    return None, wait


def test_it_waits_then_stops_where_the_rate_is_low():
    assert run([1.0] * 10, [1e-6] * 10, 3)[0] == 4  # epochs 1 to 4 without gain: 4 - 0 > 3


def test_a_gain_of_less_than_5e4_does_not_count():
    losses = [1.0 - 4e-4 * (epoch > 0) for epoch in range(10)]
    assert run(losses, [1e-6] * 10, 3)[0] == 4
    losses = [1.0 - 6e-4 * epoch for epoch in range(10)]
    assert run(losses, [1e-6] * 10, 3)[0] is None


def test_where_the_rate_is_high_the_wait_falls_back_to_half():
    stopped, wait = run([1.0] * 5, [0.01] * 5, 3)
    assert stopped is None
    assert wait == Patience(best=1.0, epoch=3)  # 4 - 3 // 2


def rate_at_the_end(recipe, epochs, *, left):
    """Learning rate of the last step of an epoch, with so many epochs left after it."""
    size = recipe.epoch_iterations
    return learning_rate(recipe, (epochs - left) * size - 1, epochs * size)


def test_usual_trainings_end_above_the_low_rate():
    """What docs/explanation/training.md says of `--patience`."""
    assert rate_at_the_end(NNUNET_RECIPE, 1000, left=0) == pytest.approx(2.0e-5, abs=5e-7)
    assert learning_rate(HEADCT_RECIPE, 2399, 2400) == pytest.approx(2.7e-5, abs=5e-7)
    assert learning_rate(HEADCT_RECIPE, 94_313, 94_314) > LOW_RATE >= learning_rate(HEADCT_RECIPE, 94_314, 94_315)


@pytest.mark.parametrize(("recipe", "epochs"), [(NNUNET_RECIPE, 55_652), (HEADCT_RECIPE, 94_692)])
def test_so_many_epochs_it_takes_to_save_one(recipe, epochs):
    assert rate_at_the_end(recipe, epochs - 1, left=1) > LOW_RATE >= rate_at_the_end(recipe, epochs, left=1)


def test_a_smaller_rate_lets_the_rule_act_within_the_last_epochs():
    recipe = NNUNET_RECIPE.model_copy(update={"learning_rate": 5e-5})
    assert rate_at_the_end(recipe, 1000, left=12) > LOW_RATE >= rate_at_the_end(recipe, 1000, left=11)


@pytest.mark.parametrize(("rate", "patience", "earliest"), [(5e-5, 5, 989), (5e-5, 990, 992), (1e-7, 5, 7)])
def test_the_earliest_epoch_after_which_patience_may_end_a_training(rate, patience, earliest):
    recipe = NNUNET_RECIPE.model_copy(update={"learning_rate": rate})
    assert earliest_stop(recipe, 250_000, patience=patience) == earliest


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_the_earliest_epoch_is_the_rules_where_the_rate_is_low_from_the_start(patience):
    recipe = NNUNET_RECIPE.model_copy(update={"learning_rate": 1e-7})
    stopped, _ = run([1.0] * 10, [1e-7] * 10, patience)
    assert stopped is not None
    assert stopped + 1 == earliest_stop(recipe, 2500, patience=patience)


@pytest.mark.parametrize("patience", [3_999_998, 3_999_999, 2 * 10**9, 10**30])
def test_no_schedule_is_named_where_a_plan_allows_none(patience):
    shortest = shortest_schedule(NNUNET_RECIPE, patience=patience)
    assert shortest is None
    assert shortest_schedule(NNUNET_RECIPE, patience=3_999_997) == 4_000_000


@pytest.mark.parametrize(("recipe", "epochs"), [(NNUNET_RECIPE, 55_652), (HEADCT_RECIPE, 94_692)])
def test_schedules_that_are_too_short_are_told_the_shortest_that_is_not(recipe, epochs):
    assert earliest_stop(recipe, 250_000, patience=5) is None
    assert shortest_schedule(recipe, patience=5) == epochs
    assert earliest_stop(recipe, epochs * 250, patience=5) == epochs - 1
    assert earliest_stop(recipe, (epochs - 1) * 250, patience=5) is None
