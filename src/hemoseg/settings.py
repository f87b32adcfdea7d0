"""What a user decides about a run; everything else follows from the data and the machine."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

ConfigChoice = Literal["auto", "2d", "3d_fullres", "3d_lowres", "cascade"]
"""What `--config` takes."""
FOLDS = 5
"""Folds of the cross-validation, nnU-Net's."""
DEFAULT_ITERATIONS = 250_000
"""Optimizer steps per fold when neither budget nor iterations are given: nnU-Net's 1000 x 250."""


class Settings(BaseModel):
    """Settings of a run. The same settings on the same folder resume it; others are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Schema version."""
    folds: tuple[Annotated[int, Field(ge=0, lt=FOLDS)], ...] = tuple(range(FOLDS))
    """Folds to train."""
    config: ConfigChoice = "auto"
    """Kind of network."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of splits, weights and patches."""
    budget_s: PositiveFloat | None = None
    """Training time over all folds and configurations together, in seconds."""
    iterations: PositiveInt | None = None
    """Optimizer steps per fold and configuration."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks are trained."""

    @model_validator(mode="after")
    def _one_limit(self) -> "Settings":
        if self.budget_s is not None and self.iterations is not None:
            raise ValueError("budget and iterations exclude each other")
        if len(set(self.folds)) != len(self.folds) or not self.folds:
            raise ValueError("folds must be named once each, and at least one")
        return self

    def options(self) -> str:
        """The options of `hemoseg run` that give these settings."""
        folds = "all" if len(self.folds) == FOLDS else ",".join(map(str, self.folds))
        limit = [f"--budget {self.budget_s:g}s"] if self.budget_s is not None else []
        limit += [f"--iterations {self.iterations}"] if self.iterations is not None else []
        return " ".join(
            [f"--folds {folds}", *limit, f"--config {self.config}", f"--seed {self.seed}", f"--device {self.device}"]
        )

    def difference(self, other: "Settings") -> list[str]:
        """One line per setting that differs, `name: here → there`."""
        mine, others = self.model_dump(), other.model_dump()
        return [f"{name}: {mine[name]} → {others[name]}" for name in mine if mine[name] != others[name]]
