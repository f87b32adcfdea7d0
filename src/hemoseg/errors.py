"""Everything this package raises on purpose.

HemosegError
├── InputError            the data or settings given cannot be used as they are      (exit 2)
│   ├── GeometryError     grids that differ, axes that cannot be trusted
│   ├── LabelError        label values outside the label table
│   └── SettingsError     settings that contradict each other or an earlier run
├── ArtifactError         a file of an earlier stage is absent, stale or of another version (exit 2)
├── ResourceError         a worker, device, disk or memory failed                     (exit 3)
└── InterruptedRunError   a signal asked to stop; what was done is kept               (exit 130 or 143)
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

TRAINING_PACKAGES = ("torch", "batchgeneratorsv2", "dynamic_network_architectures")
"""Packages that the extra `train` adds."""


class HemosegError(Exception):
    """Found what, where, against what rule, and what to do about it."""

    exit_code = 2
    """Exit code of the command line for this error."""

    def __init__(self, found: str, *, where: Path | str, expected: str, remedy: str) -> None:
        self.found = found
        self.where = where
        self.expected = expected
        self.remedy = remedy
        super().__init__(f"{where}: {found}\n  expected: {expected}\n  try: {remedy}")

    def __reduce__(self) -> tuple[Callable[..., "HemosegError"], tuple[Any, ...], dict[str, Any]]:
        """How it passes between processes: the constructor takes keywords, which pickle would not give it."""
        return _again, (type(self), *self.args), self.__dict__


class InputError(HemosegError):
    """The data or settings given cannot be used as they are."""


class GeometryError(InputError):
    """Grids differ, or axes cannot be trusted."""


class LabelError(InputError):
    """Label values lie outside the label table."""


class SettingsError(InputError):
    """Settings contradict each other or those of an earlier run."""


class ArtifactError(HemosegError):
    """A file of an earlier stage is absent, stale, damaged or of another version."""


class ResourceError(HemosegError):
    """A worker, device, disk or memory failed."""

    exit_code = 3


class InterruptedRunError(HemosegError):
    """A signal asked to stop; what was written so far is kept."""

    def __init__(self, signal_number: int, *, where: Path | str, kept: str) -> None:
        self.exit_code = 128 + signal_number
        super().__init__(
            f"stopped by signal {signal_number}; {kept}",
            where=where,
            expected="to run to the end",
            remedy="give the same command again",
        )


def lacks_extra(error: ModuleNotFoundError, *, where: Path | str) -> SettingsError:
    """What to say where a package is absent that only training and the torch engine need.

    Raises:
        ModuleNotFoundError: the same again, where the package should always be there.
    """
    package = (error.name or "").partition(".")[0]
    if package not in TRAINING_PACKAGES:
        raise error
    return SettingsError(
        f"the package {package} is not installed",
        where=where,
        expected="torch and what comes with it, for training, --exact, --engine torch, CUDA and nnU-Net's checkpoints",
        remedy='pip install "hemoseg[train]"',
    )


def _again(kind: type[HemosegError], *args: object) -> HemosegError:
    """An error of the kind without a call of its constructor; pickle puts the attributes back."""
    return kind.__new__(kind, *args)
