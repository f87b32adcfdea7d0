"""In which precision a fold is computed: the plan's, or float32 where this machine's gradients in bf16 are wrong."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from hemoseg.artifacts import read_model, write_model
from hemoseg.inference.agreement import processor
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.parallel import FoldWork
from hemoseg.pipeline.watch import Watch
from hemoseg.plan import Plan, Precision

if TYPE_CHECKING:
    from hemoseg.training import Ranks


class Computed(BaseModel):
    """What a fold is computed in; a resume keeps it on the same kind of machine, so that it ends with the same bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Precision
    """The precision."""
    processor: str
    """Name of the CPU that it was decided on."""
    amx: bool
    """Whether it had AMX, which names of virtual machines do not tell."""
    threads: int
    """Threads that it was decided for."""


def decide(folder: RunFolder, plan: Plan, work: FoldWork, *, device: str, watch: Watch, ranks: "Ranks") -> FoldWork:
    """The fold's work, in float32 where gradients in bf16 are wrong on this machine or that of another rank.

    Raises:
        ArtifactError: `precision.json` of the fold is damaged.
        ResourceError: no process could be started to try, or it was killed for want of memory.
    """
    from hemoseg.training import bf16_fault, has_amx

    item = plan.configuration(work.configuration)
    if item.precision != "bf16" or device != "cpu":
        return work
    path, known = _file(folder, item.name, work.fold), _read(folder, item.name, work.fold)
    here = {"processor": processor(), "amx": has_amx(), "threads": work.threads}
    if ranks.any(known is None or known.model_dump(exclude={"precision"}) != here):
        layout, sizes = folder.device().layout, ranks.batch_sizes(item.batch_size)
        fault = bf16_fault(plan, item, device=device, layout=layout, threads=work.threads, batch_sizes=sizes)
        if fault is not None:
            watch.say(f"{work.name} is trained in float32: on this CPU {fault}")
        precision: Precision = "fp32" if ranks.any(fault is not None) else "bf16"
        if ranks.is_first:
            write_model(path, Computed.model_validate(here | {"precision": precision}))
    else:
        assert known is not None
        precision = known.precision
    return replace(work, choices=replace(work.choices, halved=precision == "bf16"))


def computed_in(folder: RunFolder, plan: Plan, name: str, folds: tuple[int, ...]) -> str:
    """What networks of a configuration were computed in: the plan's precision, or what its folds have beside it."""
    told = [_read(folder, name, fold) for fold in folds]
    planned = plan.configuration(name).precision
    return " and ".join(sorted({planned if one is None else one.precision for one in told}))


def _file(folder: RunFolder, name: str, fold: int) -> Path:
    return folder.fold(name, fold) / "precision.json"


def _read(folder: RunFolder, name: str, fold: int) -> Computed | None:
    path = _file(folder, name, fold)
    return read_model(path, Computed, remedy="delete it: it is made again") if path.is_file() else None
