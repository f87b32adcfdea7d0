"""Early stopping by nnU-Net v1's base rule, by hand."""

from hemoseg.training.early_stop import Patience


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
