"""Which rules stay: ours, nnU-Net's, and its first version's."""

import pytest

from hemoseg.postprocess import InsideSkull, KeepLargest, MinimumVolume, Threshold
from hemoseg.selection import Scores, search_rules
from hemoseg.selection.search import rule_families

CLASSES = ("hemorrhage", "edema")
PATIENTS = list("abcdefgh")


class Oracle:
    """Scores that follow from the rules alone: base Dice plus what each rule adds to each class."""

    def __init__(self, gains, *, spread=0.0):
        self.gains, self.spread, self.asked = gains, spread, []

    def __call__(self, sets):
        self.asked += sets
        return [self._scores(rules) for rules in sets]

    def _scores(self, rules):
        gains = [self.gains(rule) for rule in rules]
        return Scores.of(
            [
                {
                    name: 0.5 + sum(gain.get(name, 0.0) * (1 + self.spread * (-1) ** case) for gain in gains)
                    for name in CLASSES
                }
                for case in range(len(PATIENTS))
            ],
            PATIENTS,
        )


def search(rule, gains, *, spread=0.0, with_skull=True, patients=8):
    oracle = Oracle(gains, spread=spread)
    rules, trials = search_rules(rule, CLASSES, oracle, with_skull=with_skull, patients=patients)
    return rules, trials, oracle


def test_nothing_helps_and_nothing_stays():
    rules, trials, oracle = search("all", lambda rule: {"hemorrhage": -0.01})
    assert rules == ()
    assert len(trials) == sum(map(len, rule_families(CLASSES, with_skull=True)))
    assert len(oracle.asked) == 1 + len(trials)
    assert all((trial.cases_better, trial.cases_worse) == (0, 8) for trial in trials)


def test_what_helps_stays_and_later_rules_come_on_top():
    def gains(rule):
        if isinstance(rule, Threshold) and rule.class_name == "edema":
            return {"edema": {0.4: 0.02, 0.3: 0.03}.get(rule.probability, -0.1)}
        return {"hemorrhage": 0.05} if isinstance(rule, InsideSkull) else {}

    rules, trials, oracle = search("all", gains)
    assert rules == (Threshold(class_name="edema", probability=0.3), InsideSkull(bone_hu=300.0))
    assert [trial.rule for trial in trials if trial.adopted] == list(rules)
    skull = next(trial for trial in trials if isinstance(trial.rule, InsideSkull))
    assert skull.before == pytest.approx({"hemorrhage": 0.5, "edema": 0.53})
    assert skull.gain.value == pytest.approx(0.025)
    assert oracle.asked[-1][:2] == rules


def test_a_gain_within_noise_or_at_the_cost_of_a_class_does_not_stay():
    assert search("all", lambda rule: {"hemorrhage": 0.01}, spread=5.0)[0] == ()
    assert search("all", lambda rule: {"hemorrhage": 0.2, "edema": -0.001})[0] == ()


def test_few_patients_prove_nothing_and_clipped_hu_tell_no_bone():
    assert search("all", lambda rule: {"hemorrhage": 0.1}, patients=4)[1:2] == ((),)
    assert search("none", lambda rule: {"hemorrhage": 0.1})[:2] == ((), ())
    _, trials, _ = search("all", lambda rule: {}, with_skull=False)
    assert not any(isinstance(trial.rule, InsideSkull) for trial in trials)


def largest(rule):
    return rule.classes if isinstance(rule, KeepLargest) else ()


def test_version_2_wants_a_higher_mean_and_no_class_lower():
    whole = {"hemorrhage": 0.1, "edema": 0.0}
    rules, trials, _ = search("nnunet", lambda rule: whole if len(largest(rule)) == 2 else {})
    assert rules == (KeepLargest(classes=CLASSES, connectivity=26),)
    assert [trial.adopted for trial in trials] == [True, False, False]
    worse = {"hemorrhage": 0.1, "edema": -0.01}
    assert search("nnunet", lambda rule: worse if len(largest(rule)) == 2 else {})[0] == ()


def test_version_2_tries_each_class_on_top_of_the_one_before():
    """A class is judged by its own Dice alone: that of the other may fall."""

    def gains(rule):
        return {"hemorrhage": 0.1, "edema": -0.3} if largest(rule) == ("hemorrhage",) else {}

    rules, trials, oracle = search("nnunet", gains)
    assert rules == (KeepLargest(classes=("hemorrhage",), connectivity=26),)
    assert trials[2].before["edema"] == pytest.approx(0.2)
    assert [len(rules) for rules in oracle.asked] == [0, 1, 1, 2]


def test_version_1_wants_any_class_higher_and_tries_classes_at_once():
    def gains(rule):
        if len(largest(rule)) == 2:
            return {"hemorrhage": 0.1}
        return {rule.classes[0]: 0.1 if rule.classes == ("edema",) else -0.1}

    rules, trials, oracle = search("nnunet-v1", gains)
    assert rules == (KeepLargest(classes=CLASSES, connectivity=6), KeepLargest(classes=("edema",), connectivity=6))
    assert [len(rules) for rules in oracle.asked] == [0, 1, 3]
    assert [trial.adopted for trial in trials] == [True, False, True]


def test_one_class_is_tried_once():
    oracle = Oracle(lambda rule: {})
    for rule in ("nnunet", "nnunet-v1"):
        _, trials = search_rules(rule, ("hemorrhage",), oracle, with_skull=True, patients=8)
        assert len(trials) == 1
    assert not any(len(largest(rule)) > 1 for family in rule_families(("a",), with_skull=True) for rule in family)
    assert MinimumVolume(class_name="a", ml=0.1) in [r for f in rule_families(("a",), with_skull=True) for r in f]
