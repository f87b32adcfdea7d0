"""A plan in words: every value with its reason, what is doubted, and what training will cost."""

from io import StringIO
from textwrap import fill

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from hemoseg.plan import Configuration, Plan
from hemoseg.planning.device import DeviceTiming
from hemoseg.planning.memory import plan_memory
from hemoseg.planning.reasons import size_text, spacing_text

MINUTE_S = 60
WIDTH = 80
"""Columns of the text."""
NAME_WIDTH = 25
"""Columns for names and values: the longest name of a reason needs 24."""


def explain_plan(plan: Plan, device: DeviceTiming | None = None) -> str:
    """Why each value is what it is, with rule, source and basis; doubts; memory and time. Plain text, 80 columns.

    Args:
        plan: the plan.
        device: timings of the machine; without those of the plan's networks no time is told.
    """
    return _text(Group(_heading(plan), _reasons(plan), *_sources(plan), _costs(plan, device), *_doubts(plan)))


def summarize_plan(plan: Plan, device: DeviceTiming | None = None) -> str:
    """What will be trained at what cost, and what is doubted. Plain text, 80 columns."""
    return _text(Group(_heading(plan), _costs(plan, device), *_doubts(plan)))


def _heading(plan: Plan) -> Text:
    rules = plan.planner if plan.preset is None else f"{plan.planner}, preset {plan.preset}"
    return Text(f"{plan.dataset_name} ({', '.join(plan.labels[1:])}), planned by {rules}")


def _reasons(plan: Plan) -> Table:
    """Name and value, why and by which source, basis."""
    table = Table("value", "why \\[source]", "basis", box=SIMPLE, width=WIDTH)
    table.columns[0].width, table.columns[0].overflow = NAME_WIDTH, "fold"
    table.columns[1].ratio = 1
    table.columns[2].no_wrap = True
    numbers = {source: number for number, source in enumerate(_distinct(plan), start=1)}
    for reason in plan.reasons:
        why = Text(f"{reason.why} [{numbers[reason.source]}]")
        table.add_row(Text(f"{reason.name}\n  {reason.value}", overflow="fold"), why, reason.basis)
        table.add_section()
    return table


def _sources(plan: Plan) -> list[Text]:
    """The sources by number."""
    return [Text("Sources:"), *(_item(f"[{n}]", source) for n, source in enumerate(_distinct(plan), start=1))]


def _distinct(plan: Plan) -> list[str]:
    """Sources in the order of their first mention."""
    return list(dict.fromkeys(reason.source for reason in plan.reasons))


def _item(mark: str, text: str) -> Text:
    """An item of a list, wrapped behind its mark."""
    return Text(fill(f"{mark} {text}", WIDTH, subsequent_indent=" " * (len(mark) + 1), break_on_hyphens=False))


def _costs(plan: Plan, device: DeviceTiming | None) -> Table:
    """One row per network."""
    axes = ", ".join("zyx"[axis] for axis in plan.preparation.transpose)
    columns = ("network", f"voxels ({axes})", "batch", "features", "steps", "memory", "time")
    table = Table(*columns, box=SIMPLE, width=WIDTH)
    for item in plan.configurations:
        trained = item.name in plan.trained
        memory = f"{plan_memory(plan, item).total_mb / 1000:.1f} GB" if _has_output(item) else "–"
        table.add_row(
            item.name,
            f"{size_text(item.patch_size)}\n{spacing_text(item.spacing_mm)}",
            str(item.batch_size),
            f"{item.features[0]}–{item.features[-1]}",
            str(item.iterations) if trained else "not trained",
            memory,
            _time(item, device) if trained else "–",
        )
    table.caption = "memory: estimated peak of a training process on a CPU; time: of one fold"
    return table


def _doubts(plan: Plan) -> list[RenderableType]:
    if not plan.doubts:
        return [Text("No doubts.")]
    return [Text("Doubts:"), *(_item("-", doubt) for doubt in plan.doubts)]


def _time(item: Configuration, device: DeviceTiming | None) -> str:
    """Minutes or hours of one fold; a dash where no step was timed."""
    seconds = device.seconds(item) if device is not None else None
    if seconds is None:
        return "–"
    minutes = item.iterations * seconds / MINUTE_S
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _has_output(item: Configuration) -> bool:
    """Whether the network can be built: one stage has no decoder."""
    return len(item.features) > 1


def _text(group: Group) -> str:
    output = StringIO()
    Console(file=output, width=WIDTH, color_system=None, highlight=False).print(group)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"
