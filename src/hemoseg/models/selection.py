"""Which networks make the result and what happens to it afterwards, with the evidence: `selection.json`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hemoseg.plan import ConfigurationName
from hemoseg.postprocess import Rule

Score = float | None
"""A mean over classes of means over cases; None where no case has a value."""


class Difference(BaseModel):
    """How much better one set of predictions is than another on the same cases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Score
    """Difference of the two scores."""
    low: Score
    """2.5th percentile over resampled patients; None where there are too few."""
    high: Score
    """97.5th percentile."""


class Candidate(BaseModel):
    """A configuration, or several whose probabilities are averaged, as it did."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    configurations: tuple[ConfigurationName, ...]
    """What is averaged."""
    networks: int
    """Networks that a scan passes per fold, a cascade's previous stage included: how simple it is."""
    score: Score
    """Mean over classes of the mean metric over cases."""
    class_scores: dict[str, Score]
    """The same of each class."""
    short_of_best: Difference
    """Score of the best candidate minus this one's."""


class Trial(BaseModel):
    """A rule that was tried on top of those adopted before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Rule
    """The rule."""
    before: dict[str, Score]
    """Mean of the metric of each class without it."""
    after: dict[str, Score]
    """With it."""
    gain: Difference
    """Score with it minus score without."""
    cases_better: int
    """Cases that gained in any class and lost in none."""
    cases_worse: int
    """Cases that lost in any class."""
    adopted: bool
    """Whether it stays."""


class Evidence(BaseModel):
    """What a selection rests on: no case is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    """What was compared."""
    rule: str
    """How the configurations were chosen."""
    postprocessing: str
    """Which rules were tried, and how one is adopted."""
    cases: int
    """Held-out cases."""
    patients: int
    """Whose they are."""
    candidates: tuple[Candidate, ...]
    """All that were compared."""
    trials: tuple[Trial, ...]
    """All rules that were tried, in their order."""
    sources_sha256: str
    """SHA-256 over the hashes of the weights whose predictions were compared."""


class Selection(BaseModel):
    """Which of the trained networks make the result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[2] = 2
    """Schema version."""
    configurations: Annotated[tuple[ConfigurationName, ...], Field(min_length=1)]
    """The configurations whose probabilities are averaged."""
    folds: Annotated[dict[ConfigurationName, tuple[int, ...]], Field(min_length=1)]
    """Folds of each configuration that is used: the chosen ones and a cascade's previous stage."""
    trained_on_all: bool = False
    """Whether every case was trained on, nnU-Net's `fold_all`; it is numbered 0 then."""
    mirror: bool
    """Whether predictions are averaged over mirrored inputs."""
    postprocessing: tuple[Rule, ...] = ()
    """Rules applied to the label map, in their order."""
    reason: str
    """Why these."""
    evidence: Evidence | None = None
    """What was compared and tried."""

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_version(cls, values: Any) -> Any:
        """Version 1 had one configuration and no rules."""
        if isinstance(values, dict) and values.get("version") == 1 and "configuration" in values:
            others = {key: value for key, value in values.items() if key != "configuration"}
            return others | {"version": 2, "configurations": [values["configuration"]]}
        return values

    @property
    def title(self) -> str:
        """The configurations in words."""
        return " + ".join(self.configurations)
