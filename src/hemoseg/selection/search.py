"""Which rules after the networks help, by out-of-fold predictions."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from hemoseg.models import Trial
from hemoseg.postprocess import InsideSkull, KeepLargest, MinimumConfidence, MinimumVolume, Rule, Threshold
from hemoseg.selection.scores import FEWEST_PATIENTS, Scores, difference, is_beyond_noise

SearchRule = Literal["all", "nnunet", "nnunet-v1", "none"]
"""Which rules are tried."""
SEARCH_TEXT: dict[SearchRule, str] = {
    "all": "thresholds, the skull, confidence, volume and largest components, one after the other; of each kind the "
    "value with the highest score stays if no class loses and the 95 % interval of the gain (paired bootstrap over "
    f"patients, of whom there must be {FEWEST_PATIENTS}) is above 0; the gain is measured on the cases that chose it",
    "nnunet": "nnunetv2's determine_postprocessing: the largest component of all foreground stays if the mean Dice "
    "rises and no class falls, then that of each class in turn if its own Dice rises",
    "nnunet-v1": "nnunet 1's determine_postprocessing: the largest component of all foreground stays if any class "
    "rises and none falls, then that of each class whose own Dice rises, all tried at once",
    "none": "no rules were tried",
}
"""The ways in words."""
THRESHOLDS = (0.3, 0.4, 0.6, 0.7)
CONFIDENCES = (0.6, 0.7, 0.8)
VOLUMES_ML = (0.05, 0.1, 0.3, 1.0)
"""Values that are tried; few, since each is one more chance to be fooled."""
BONE_HU = 300.0
"""HU above which a voxel is bone: blood stays below 100, calcified plexus and pineal gland rarely pass 250."""

Evaluate = Callable[[Sequence[tuple[Rule, ...]]], list[Scores]]
"""Scores of the predictions after each set of rules."""


def search_rules(
    rule: SearchRule, classes: Sequence[str], evaluate: Evaluate, *, with_skull: bool, patients: int
) -> tuple[tuple[Rule, ...], tuple[Trial, ...]]:
    """The rules that stay, and all that were tried.

    Args:
        rule: which are tried, and how one is adopted.
        classes: names of the foreground classes.
        evaluate: what scores sets of rules; nnU-Net's ways need Dice.
        with_skull: whether HU tell bone.
        patients: whose the predictions are; of too few nothing is tried by `all`.
    """
    if rule == "none" or (rule == "all" and patients < FEWEST_PATIENTS):
        return (), ()
    if rule == "nnunet":
        return _search_v2(classes, evaluate)
    if rule == "nnunet-v1":
        return _search_v1(classes, evaluate)
    return _search_all(rule_families(classes, with_skull=with_skull), evaluate)


def rule_families(classes: Sequence[str], *, with_skull: bool) -> list[list[Rule]]:
    """Rules of one kind with their values, in the order in which they are tried and applied."""
    families: list[list[Rule]] = [
        [Threshold(class_name=name, probability=value) for value in THRESHOLDS] for name in classes
    ]
    if with_skull:
        families.append([InsideSkull(bone_hu=BONE_HU)])
    for name in classes:
        families.append([MinimumConfidence(class_name=name, probability=value) for value in CONFIDENCES])
        families.append([MinimumVolume(class_name=name, ml=value) for value in VOLUMES_ML])
    families.append([KeepLargest(classes=tuple(classes), connectivity=26)])
    if len(classes) > 1:
        families += [[KeepLargest(classes=(name,), connectivity=26)] for name in classes]
    return families


def _search_all(families: Sequence[list[Rule]], evaluate: Evaluate) -> tuple[tuple[Rule, ...], tuple[Trial, ...]]:
    """Family after family; what is left is evaluated at once, and again only after a rule was adopted."""
    trials: list[Trial] = []
    before, *known = evaluate([(), *_alone(families)])
    for number, family in enumerate(families):
        if not known:
            known = evaluate([(*_adopted(trials), *one) for one in _alone(families[number:])])
        found, known = known[: len(family)], known[len(family) :]
        values = [_value(one) for one in found]
        best = values.index(max(values))
        for index, (one, after) in enumerate(zip(family, found, strict=True)):
            stays = index == best and is_beyond_noise(difference(after, before)) and not _falls(before, after)
            trials.append(_trial(one, before, after, adopted=stays))
        if trials[len(trials) - len(family) + best].adopted:
            before, known = found[best], []
    return _adopted(trials), tuple(trials)


def _alone(families: Sequence[list[Rule]]) -> list[tuple[Rule, ...]]:
    return [(one,) for family in families for one in family]


def _search_v2(classes: Sequence[str], evaluate: Evaluate) -> tuple[tuple[Rule, ...], tuple[Trial, ...]]:
    """nnU-Net v2's way. Means over classes are NaN, and so never higher, where a class has no value in any case."""
    whole = KeepLargest(classes=tuple(classes), connectivity=26)
    before, after = evaluate([(), (whole,)])
    rises = bool(np.mean(after.class_means) > np.mean(before.class_means))
    trials = [_trial(whole, before, after, adopted=rises and not _falls(before, after))]
    if trials[0].adopted:
        before = after
    if len(classes) > 1:
        for index, name in enumerate(classes):
            one = KeepLargest(classes=(name,), connectivity=26)
            (after,) = evaluate([(*_adopted(trials), one)])
            trials.append(_trial(one, before, after, adopted=_rises(before, after, index)))
            if trials[-1].adopted:
                before = after
    return _adopted(trials), tuple(trials)


def _search_v1(classes: Sequence[str], evaluate: Evaluate) -> tuple[tuple[Rule, ...], tuple[Trial, ...]]:
    """nnU-Net v1's way: with one label per voxel, classes do not act on each other, so all are tried at once."""
    whole = KeepLargest(classes=tuple(classes), connectivity=6)
    before, after = evaluate([(), (whole,)])
    rises = any(_rises(before, after, index) for index in range(len(classes)))
    trials = [_trial(whole, before, after, adopted=rises and not _falls(before, after))]
    if trials[0].adopted:
        before = after
    if len(classes) > 1:
        each: tuple[Rule, ...] = tuple(KeepLargest(classes=(name,), connectivity=6) for name in classes)
        (after,) = evaluate([(*_adopted(trials), *each)])
        trials += [_trial(one, before, after, adopted=_rises(before, after, index)) for index, one in enumerate(each)]
    return _adopted(trials), tuple(trials)


def _rises(before: Scores, after: Scores, index: int) -> bool:
    return bool(after.class_means[index] > before.class_means[index])


def _falls(before: Scores, after: Scores) -> bool:
    return bool((after.class_means < before.class_means).any())


def _adopted(trials: Sequence[Trial]) -> tuple[Rule, ...]:
    return tuple(trial.rule for trial in trials if trial.adopted)


def _trial(rule: Rule, before: Scores, after: Scores, *, adopted: bool) -> Trial:
    better, worse = after.values > before.values, after.values < before.values
    return Trial(
        rule=rule,
        before=before.by_class,
        after=after.by_class,
        gain=difference(after, before),
        cases_better=int((better.any(axis=1) & ~worse.any(axis=1)).sum()),
        cases_worse=int(worse.any(axis=1).sum()),
        adopted=adopted,
    )


def _value(found: Scores) -> float:
    return 0.0 if found.score is None else found.score
