"""The run folder: where each stage's files lie, and who may write."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from hemoseg.artifacts import read_model, sweep
from hemoseg.datasets import Split
from hemoseg.pipeline.lock import locked
from hemoseg.planning import Fingerprint

if TYPE_CHECKING:
    from hemoseg.plan import Configuration, Plan
    from hemoseg.planning import DeviceTiming
    from hemoseg.settings import Settings

Model = TypeVar("Model", bound=BaseModel)
PLAN = "run `hemoseg plan --run DIR`"


class Splits(BaseModel):
    """`splits.json`: names of the cases that each fold trains on and holds out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version."""
    train: tuple[tuple[str, ...], ...]
    """Per fold, the cases to train on."""
    held_out: tuple[tuple[str, ...], ...]
    """Per fold, the cases to validate on."""

    @classmethod
    def of(cls, splits: tuple[Split, ...]) -> "Splits":
        """The splits as they are stored."""
        return cls(train=tuple(s.train for s in splits), held_out=tuple(s.held_out for s in splits))


class ValidationSource(BaseModel):
    """`validation.json`: whose predictions lie beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version."""
    weights_sha256: str
    """SHA-256 of the weights file that made them."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of a run folder; reading a file that an earlier stage should have written is an error that says so."""

    path: Path
    """The folder."""

    @property
    def settings_file(self) -> Path:
        """What the user decided."""
        return self.path / "settings.json"

    @property
    def device_file(self) -> Path:
        """What was measured of the machine."""
        return self.path / "device.json"

    @property
    def fingerprint_file(self) -> Path:
        """The data set in numbers."""
        return self.path / "fingerprint.json"

    @property
    def facts(self) -> Path:
        """What was measured of each case."""
        return self.path / "facts"

    @property
    def plan_file(self) -> Path:
        """What training and prediction agree on."""
        return self.path / "plan.json"

    @property
    def methods_file(self) -> Path:
        """The methods in prose."""
        return self.path / "methods.md"

    @property
    def splits_file(self) -> Path:
        """The cross-validation."""
        return self.path / "splits.json"

    @property
    def selection_file(self) -> Path:
        """Which networks make the result."""
        return self.path / "selection.json"

    @property
    def evaluation_file(self) -> Path:
        """How good the out-of-fold predictions are."""
        return self.path / "evaluation.json"

    @property
    def workers_log(self) -> Path:
        """Tracebacks of errors in jobs that nobody expected."""
        return self.path / "workers.log"

    @property
    def stop_file(self) -> Path:
        """Asks folds that are trained at the same time to save their states and end; gone when they have."""
        return self.path / ".stop"

    @property
    def model(self) -> Path:
        """The bundle that `segment --model` takes."""
        return self.path / "model"

    @property
    def predictions(self) -> Path:
        """Out-of-fold predictions of what was selected, after its rules."""
        return self.path / "predictions"

    def store(self, configuration: "Configuration") -> Path:
        """The prepared cases of a configuration. Those on one grid share theirs."""
        if configuration.name == "3d_lowres":
            return self.path / "cases_lowres"
        return self.path / ("cases" if configuration.spacing_mm[0] is not None else "cases_2d")

    def fold(self, configuration: str, fold: int) -> Path:
        """What training and validation of one fold write."""
        return self.path / configuration / f"fold_{fold}"

    def weights(self, configuration: str, fold: int) -> Path:
        """The trained network of one fold; its presence means that the fold is trained."""
        return self.fold(configuration, fold) / "last.safetensors"

    def state(self, configuration: str, fold: int) -> Path:
        """Where the training of a fold stands; there while it is not at its end."""
        return self.fold(configuration, fold) / "state.safetensors"

    def settings(self) -> "Settings":
        """The settings of the run."""
        from hemoseg.settings import Settings

        return _read(self.settings_file, Settings, command=PLAN)

    def fingerprint(self) -> Fingerprint:
        """The fingerprint."""
        return _read(self.fingerprint_file, Fingerprint, command="run `hemoseg fingerprint DATASET --run DIR`")

    def device(self) -> "DeviceTiming":
        """The device's timing."""
        from hemoseg.planning import DeviceTiming

        return _read(self.device_file, DeviceTiming, command=PLAN)

    def plan(self) -> "Plan":
        """The plan."""
        from hemoseg.plan import Plan

        return _read(self.plan_file, Plan, command=PLAN)

    def splits(self) -> Splits:
        """The splits."""
        return _read(self.splits_file, Splits, command=PLAN)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of the folder; the system lets go when this one ends, however it ends.

        Raises:
            InputError: a file lies where a folder should be.
            ResourceError: another process works in the folder, or it cannot be made.
        """
        with locked(self.path, remedy="choose another --run folder"):
            self._sweep()
            try:
                yield
            finally:
                self._sweep()  # workers that were ended while they wrote

    def _sweep(self) -> None:
        """Remove what was left half-written, if the folder is a run's."""
        marks = (self.settings_file, self.fingerprint_file, self.facts)
        if any(mark.exists() for mark in marks):
            sweep(self.path)


def _read(path: Path, kind: type[Model], *, command: str) -> Model:
    """A file of an earlier stage, which the command writes where it is absent, and only there."""
    remedy = f"delete it, then {command} with the same options as before" if path.exists() else f"{command} first"
    return read_model(path, kind, remedy=remedy)


def digest_of(plan: "Plan") -> str:
    """SHA-256 of a plan without its reasons and doubts, which decide nothing.

    Fields that were added later count only where they say something new, so that weights keep the plan they name.
    """
    data = {name: value for name, value in _content(plan).items() if name not in ("reasons", "doubts")}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _content(model: BaseModel) -> dict[str, Any]:
    """A model as JSON without `Later` fields that have their default."""
    from hemoseg.plan import Later

    data: dict[str, Any] = model.model_dump(mode="json")
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if any(isinstance(mark, Later) for mark in field.metadata) and value == field.default:
            del data[name]
        elif isinstance(value, BaseModel):
            data[name] = _content(value)
        elif isinstance(value, tuple) and value and all(isinstance(item, BaseModel) for item in value):
            data[name] = [_content(item) for item in value]
    return data
