"""Members of an ensemble of nnU-Net's models in one plan: what they must have alike, and names for their stages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from hemoseg.errors import InputError
from hemoseg.interop.results_folder import ResultsFolder
from hemoseg.plan import Configuration, Plan, Preparation

ALIKE = "the labels of one data set, and one preparation of scans"
"""What is asked of stages and of members of an ensemble."""
APART = "predict with nnU-Net itself, and average what it saves of each with nnUNetv2_ensemble"
"""What is left to do with models that cannot be one ensemble here."""
LONGEST_NAME = 100
"""Characters of a configuration's name at most."""
SEEN_OF_CT = ("mean", "std", "percentile_00_5", "percentile_99_5")
"""Foreground intensities that CT is normalized by; the others are of no use to networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedStage:
    """One trained configuration: its plan, files and what its checkpoints say."""

    results: ResultsFolder
    """Where it comes from."""
    trainer: str
    """Class that trained it."""
    plan: Plan
    """The plan with this configuration, what it inherits and its previous stage alone."""
    configuration: Configuration
    """The configuration, mirrored as its checkpoints allow, and named as the bundle names it."""
    said: str
    """Its name in plans.json."""

    @property
    def origin(self) -> str:
        """What trained it, as nnU-Net names results."""
        plans = "" if self.plan.nnunet is None else self.plan.nnunet.plans_name
        return f"{self.trainer}__{plans}"


Member = Sequence[ImportedStage]
"""The stages of one model, a cascade's previous one first."""


def check_members(members: Sequence[Member]) -> None:
    """Make sure that models can be one ensemble.

    Raises:
        InputError: one is there twice, or its classes, preparation or kind of training are not the first one's.
    """
    first, *rest = (member[-1] for member in members)
    seen = [first.results.folder.resolve()]
    for last in rest:
        check_alike(last, first, remedy=APART)
        if last.results.is_on_all != first.results.is_on_all:
            found = "one was trained on all cases, the other on folds"
            raise unlike(found, last.results.folder, "both alike", remedy=APART)
        if last.results.folder.resolve() in seen:
            found, remedy = f"{last.said} again", "name each folder once"
            raise unlike(found, last.results.folder, "each model once", remedy=remedy)
        seen.append(last.results.folder.resolve())


def check_alike(stage: ImportedStage, other: ImportedStage, *, remedy: str) -> None:
    """Make sure that two stages can be in one plan.

    Raises:
        InputError: classes, or what networks see of a scan, differ.
    """
    for key in ("labels", "regions"):
        if getattr(stage.plan, key) != getattr(other.plan, key):
            found = f"another {key} than {other.results.folder}"
            raise unlike(found, stage.results.folder, ALIKE, remedy=remedy)
    difference = _difference(_seen(stage.plan.preparation), _seen(other.plan.preparation), "preparation")
    if difference is not None:
        raise unlike(f"{difference} as in {other.results.folder}", stage.results.folder, ALIKE, remedy=remedy)


def named_apart(members: Sequence[Member]) -> list[list[ImportedStage]]:
    """The members with each stage's name its own: `3d_fullres` of a second model becomes `3d_fullres_2`.

    A stage that two members share, as the previous one of a cascade beside that stage alone, has one name.
    """
    names: dict[Path, str] = {}
    known = {item.name for member in members for stage in member for item in stage.plan.configurations}
    for member in members:
        for stage in member:
            place, name = stage.results.folder.resolve(), stage.said
            if place not in names:
                names[place] = _free(name, known) if name in names.values() else name
                known.add(names[place])
    return [[_renamed(stage, member, names) for stage in member] for member in members]


def merged(members: Sequence[Member]) -> Plan:
    """The plan of the first member with the configurations of all, as their checkpoints have them."""
    stages = {stage.configuration.name: stage.configuration for member in members for stage in member}
    plan = members[0][-1].plan
    every = {item.name: item for item in plan.configurations} | stages
    known = tuple(
        item if item.inherits_from in every else item.model_copy(update={"inherits_from": None})
        for item in every.values()
    )
    doubts = tuple(dict.fromkeys(doubt for member in members for doubt in member[-1].plan.doubts))
    return plan.model_copy(update={"configurations": known, "trained": tuple(stages), "doubts": doubts})


def distinct_stages(members: Iterable[Member]) -> list[ImportedStage]:
    """All stages, each once."""
    return list({stage.configuration.name: stage for member in members for stage in member}.values())


def unlike(found: str, where: Path, expected: str, *, remedy: str = "import a model that is like that") -> InputError:
    """The error of a model that is not what can be run here."""
    return InputError(found, where=where, expected=expected, remedy=remedy)


def _renamed(stage: ImportedStage, member: Member, names: dict[Path, str]) -> ImportedStage:
    """The stage by its new name, and its previous one by that one's."""
    item, name = stage.configuration, names[stage.results.folder.resolve()]
    changes: dict[str, Any] = {"name": name}
    if item.previous_stage is not None:
        changes["previous_stage"] = names[member[0].results.folder.resolve()]
    if name != stage.said:
        changes["inherits_from"] = None  # all is spelled out, and the name may be another model's here
    return replace(stage, configuration=item.model_copy(update=changes))


def _free(name: str, known: set[str]) -> str:
    """The name with the first number that makes it one that is not known."""
    numbered = (f"{name[: LONGEST_NAME - len(str(number)) - 1]}_{number}" for number in count(2))
    return next(other for other in numbered if other not in known)


def _seen(preparation: Preparation) -> dict[str, Any]:
    """What of a preparation decides what networks see."""
    content = preparation.model_dump()
    for channel in content["channels"]:
        del channel["name"]
        said, is_ct = channel["intensity"], channel["normalization"] == "ct"
        channel["intensity"] = {key: said[key] for key in SEEN_OF_CT} if said is not None and is_ct else None
    return content


def _difference(one: Any, other: Any, name: str) -> str | None:
    """The first value that differs, by its name; None if none does."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        found = (_difference(one[key], other[key], key) for key in one)
        return next((item for item in found if item is not None), None)
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other) and isinstance(one[0], dict):
        found = (_difference(mine, theirs, name) for mine, theirs in zip(one, other, strict=True))
        return next((item for item in found if item is not None), None)
    return None if one == other else f"{name} {one}, not {other}"
