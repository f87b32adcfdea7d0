"""`segment` and `demo`: a model at work."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hemoseg.cli.batches import (
    LIMIT_OF_MANY,
    ClusterOption,
    Layout,
    LayoutOption,
    Retries,
    Shard,
    Sources,
    TimeLimit,
    Workers,
    failures_in_order,
    make_scan_executor,
    parse_shard,
)
from hemoseg.cli.doubts import (
    AverageName,
    AverageOption,
    DoubtOption,
    LowVote,
    ProbabilitiesOption,
    SecondLook,
    check_layout,
)
from hemoseg.cli.failures import print_failure, print_failures
from hemoseg.cli.options import Device
from hemoseg.cli.progress import RESEARCH_ONLY, Lines, bars, parse_duration

if TYPE_CHECKING:
    from hemoseg.pipeline.batch.run import Batch
    from hemoseg.pipeline.batch.sources import Scan
    from hemoseg.pipeline.batch.work import Options
    from hemoseg.scale import Executor


class EngineName(StrEnum):
    """What runs networks."""

    auto = "auto"
    openvino = "openvino"
    torch = "torch"


ModelOption = Annotated[
    str | None, typer.Option(help="Name of an embedded model, or a bundle's folder like RUN/model.")
]
EngineOption = Annotated[
    EngineName, typer.Option(help="What runs the network; auto is OpenVINO on a CPU and torch on CUDA.")
]
AssumeHu = Annotated[bool, typer.Option("--assume-hu", help="Take the values as HU even if they do not look like it.")]
Exact = Annotated[
    bool, typer.Option("--exact", help="All as nnU-Net does it: float32, whole field, every tile and mirroring.")
]
MaxMemory = Annotated[
    float | None,
    typer.Option("--max-memory", min=0.0, metavar="GB", help="Most memory the process may hold, in 10^9 bytes."),
]
TimeBudget = Annotated[
    str | None,
    typer.Option(
        "--time-budget",
        metavar="DURATION",
        help="Time for each scan, like 30s, from memory to label map: mirrorings, overlap of tiles and folds that "
        "do not fit are left out, with a warning.",
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print report.json on stdout (an array for several scans, null for one that failed)."),
]


def segment(
    scans: Sources,
    out: Annotated[Path, typer.Option(help="Folder for the results, one folder per scan in it.")],
    model: ModelOption = None,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.cpu,
    engine: EngineOption = EngineName.auto,
    assume_hu: AssumeHu = False,
    exact: Exact = False,
    average: AverageOption = AverageName.logits,
    probabilities: ProbabilitiesOption = False,
    doubt: DoubtOption = False,
    low_vote: LowVote = False,
    second_look: SecondLook = False,
    max_memory: MaxMemory = None,
    time_budget: TimeBudget = None,
    as_json: AsJson = False,
    layout: LayoutOption = Layout.folders,
    workers: Workers = 1,
    cluster: ClusterOption = None,
    time_limit: TimeLimit = None,
    retries: Retries = 1,
    shard: Shard = None,
) -> None:
    """Segment scans: mask.nii.gz, report.json and report.html per scan. Research use only.

    Each result is named after its scan's file without .nii or .nii.gz. Of several scans one that fails does not stop
    the others: summary.csv has them all, a table of failures comes last, and the same command goes on where a killed
    one ended.
    """
    from hemoseg.pipeline.batch.record import has_manifest
    from hemoseg.pipeline.batch.run import Batch
    from hemoseg.pipeline.batch.sources import find_scans, take_shard
    from hemoseg.pipeline.batch.work import Options
    from hemoseg.scale import default_workers

    check_layout(is_flat=layout is Layout.flat, doubt=doubt, probabilities=probabilities)
    part, limit_s = parse_shard(shard), parse_duration(time_limit or LIMIT_OF_MANY)
    found = find_scans(scans)
    options = Options(
        device=device.value,
        engine=engine.value,
        assume_hu=assume_hu,
        exact=exact,
        average=average.value,
        probabilities=probabilities,
        doubt=doubt,
        low_vote=low_vote,
        second_look=second_look,
        time_budget_s=None if time_budget is None else parse_duration(time_budget),
        layout=layout.value,
    )
    executor = make_scan_executor(workers, cluster, limit_s, out)
    is_batch = found.is_batch or layout is Layout.flat or part is not None or executor is not None
    if not is_batch and not has_manifest(out):
        alone_s = inf if time_limit is None else limit_s
        result = _segment_alone(
            found.scans[0], out, model, options, max_memory_gb=max_memory, limit_s=alone_s, as_json=as_json
        )
        if as_json:
            _print_json(result)
        return
    _segment_many(
        Batch(
            found=found if part is None else take_shard(found, *part),
            out=out,
            model=model if model is None or not Path(model).exists() else str(Path(model).resolve()),
            options=options,
            shard=part,
            limit_s=limit_s,
            retries=retries,
            max_memory_gb=max_memory,
            threads=None if cluster else max(1, default_workers() // workers),
            start_s=_seconds_since_start(),
        ),
        executor,
        as_json=as_json,
    )


def _segment_alone(
    scan: "Scan",
    out: Path,
    model: str | None,
    options: "Options",
    *,
    max_memory_gb: float | None,
    limit_s: float,
    as_json: bool,
) -> dict[str, Any]:
    """Segment one scan; an older result goes."""
    from hemoseg.artifacts import check_writable, sweep_gone
    from hemoseg.report import check_target

    check_target(out / scan.name)
    check_writable(out)
    sweep_gone(out)
    _say(RESEARCH_ONLY, style="bold")
    from hemoseg.pipeline.batch.work import Deadline, check_reading, load_for, read_one, segment_one, write_one

    with _naming(scan, out):
        loaded = load_for(model, options, max_memory_gb=max_memory_gb, scratch=out)
    _say(f"model {loaded.identity.name} {loaded.identity.version}: {loaded.identity.notice}")
    with _naming(scan, out), bars() as watch:
        start = _seconds_since_start()
        check_reading(loaded, scan)
        volume, read = read_one(scan, options)
        watch.begin(volume.name, 1)
        deadline = Deadline(name=scan.name, limit_s=limit_s, spent_s=read)
        deadline.begin()
        segmentation = segment_one(loaded, volume, deadline, _tiles(watch))
        del loaded  # hundreds of megabytes of a large network, while the result is measured and written
        watch.finish()
        report = write_one(segmentation, out, options.layout, {"start": start, "read": read})
        _tell(report, _line(scan, report, out, options), watch, as_json, mark="  warning")
    return report


@contextmanager
def _naming(scan: "Scan", out: Path) -> Iterator[None]:
    """Whatever goes wrong in the block names the scan; of what should not happen the traceback goes into a log."""
    from hemoseg.errors import HemosegError
    from hemoseg.pipeline.batch.work import ERRORS_LOG, as_ours

    try:
        yield
    except (HemosegError, ModuleNotFoundError):
        raise
    except Exception as error:
        raise as_ours(error, scan, log=out / ERRORS_LOG) from error


def _segment_many(batch: "Batch", executor: "Executor | None", *, as_json: bool) -> None:
    """Segment all that is not segmented yet, and end the process with code 3 if a scan failed."""
    from hemoseg.models import find_bundle, open_bundle
    from hemoseg.pipeline.batch.run import run_batch

    bundle = open_bundle(find_bundle(batch.model))

    def ready() -> None:
        _say(RESEARCH_ONLY, style="bold")
        _say(f"model {bundle.manifest.name} {bundle.manifest.model_version}: {bundle.manifest.notice}")

    with bars() as watch:
        result = run_batch(
            batch,
            bundle,
            executor=executor,
            watch=watch,
            ready=ready,
            done=lambda scan, report: _tell(
                report,
                _line(scan, report, batch.out, batch.options),
                watch,
                as_json,
                mark=f"{scan.name}: warning",  # its other line may go elsewhere, and lines of other scans lie between
            ),
        )
        if result.earlier:
            watch.say(f"{result.earlier} of {len(batch.found.scans)} scans were segmented before")
    if as_json:
        _print_json(
            [result.reports.get(file.name) if file in batch.found.scans else None for file in batch.found.files]
        )
    if failures := failures_in_order(batch.found, result.failures):
        print_failures(failures)
    if result.unwritten is not None:
        print_failure(result.unwritten)
    if failures or result.unwritten is not None:
        raise typer.Exit(3)


def _print_json(value: object) -> None:
    from hemoseg.artifacts import dump_json

    typer.echo(dump_json(value), nl=False)


def _say(text: str, *, style: str | None = None) -> None:
    """A line on stderr."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(text, style=style, markup=False)


def _line(scan: "Scan", report: dict[str, Any], out: Path, options: "Options") -> str:
    from hemoseg.pipeline.batch.work import target_of

    return f"{scan.name}: {_volume_text(report)} -> {target_of(scan.name, out, options.layout)}"


def _volume_text(result: dict[str, Any]) -> str:
    """Milliliters of hemorrhage, with their interval where there is one.

    Example:
        >>> _volume_text({"hemorrhage_ml": 12.34, "interval": {"level": 0.9, "hemorrhage_ml": [10.0, 15.27]}})
        '12.3 ml hemorrhage (90 %: 10.0 to 15.3)'
    """
    text, ends = f"{result['hemorrhage_ml']:.1f} ml hemorrhage", result["interval"]["hemorrhage_ml"]
    return text if ends is None else f"{text} ({result['interval']['level'] * 100:g} %: {ends[0]:.1f} to {ends[1]:.1f})"


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the page and the figures.")] = Path("demo"),
) -> None:
    """Segment simulated heads with bleeds of exactly known volume and measure the result. Research use only."""
    from rich.console import Console

    from hemoseg.demo import run_demo

    console = Console(highlight=False)
    console.print(RESEARCH_ONLY, style="bold")
    page = run_demo(out, console=console)
    console.print(f"Look at {page.resolve()}", soft_wrap=True, markup=False)


def _tell(result: dict[str, Any], line: str, watch: Lines, as_json: bool, *, mark: str) -> None:
    """One line on stdout, which JSON needs for itself, and the warnings, each after its mark."""
    watch.say(line) if as_json else typer.echo(line)
    for warning in result["warnings"]:
        watch.say(f"{mark}: {warning}")


def _tiles(watch: Lines) -> Callable[[int, int], None]:
    return lambda done, total: watch.advance(done, "tiles", total=total)


def _seconds_since_start() -> float:
    """How old this process is. Linux tells the time of its own start in whole seconds, so there both count from it."""
    import psutil

    created, now = float(psutil.Process().create_time()), time.time()
    if sys.platform == "linux":
        created, now = created - float(psutil.boot_time()), time.clock_gettime(time.CLOCK_BOOTTIME)
    return max(0.0, now - created)
