"""`segment` and `demo`: a model at work."""

import json
import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hemoseg.cli.failures import failure_of, print_failures
from hemoseg.cli.progress import RESEARCH_ONLY, Bars, bars, parse_duration
from hemoseg.errors import HemosegError, InputError, InterruptedRunError

if TYPE_CHECKING:
    from hemoseg.inference import Model


class Device(StrEnum):
    """Where networks run."""

    cpu = "cpu"
    cuda = "cuda"


class EngineName(StrEnum):
    """What runs networks."""

    auto = "auto"
    openvino = "openvino"
    torch = "torch"


def segment(
    scans: Annotated[list[Path], typer.Argument(metavar="SCAN...", help="NIfTI files (.nii or .nii.gz).")],
    out: Annotated[Path, typer.Option(help="Folder for the results, one folder per scan in it.")],
    model: Annotated[
        str | None, typer.Option(help="Name of an embedded model, or a bundle's folder like RUN/model.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.cpu,
    engine: Annotated[
        EngineName,
        typer.Option(help="What runs the network; auto is OpenVINO on a CPU and torch on CUDA."),
    ] = EngineName.auto,
    assume_hu: Annotated[
        bool, typer.Option("--assume-hu", help="Take the values as HU even if they do not look like it.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="All as nnU-Net does it: float32, whole field, every tile and mirroring.")
    ] = False,
    second_look: Annotated[
        bool,
        typer.Option(
            "--second-look", help="Where no hemorrhage is segmented, put what has a probability above 0.2 in the mask."
        ),
    ] = False,
    max_memory: Annotated[
        float | None,
        typer.Option("--max-memory", min=0.0, metavar="GB", help="Most memory the process may hold, in 10^9 bytes."),
    ] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(
            "--time-budget",
            metavar="DURATION",
            help="Time for each scan, like 30s, from memory to label map: mirrorings, overlap of tiles and folds that "
            "do not fit are left out, with a warning.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print report.json on stdout (an array for several scans, null for one that failed)."
        ),
    ] = False,
) -> None:
    """Segment scans: mask.nii.gz, report.json and report.html per scan. Research use only.

    Each scan's folder is named after its file without .nii or .nii.gz. Of several scans one that fails does not stop
    the others: a table of failures comes last.
    """
    from rich.console import Console

    from hemoseg.artifacts import sweep_gone
    from hemoseg.report import check_target

    err = Console(stderr=True, highlight=False)
    names, failures = _names(scans)
    for name in names.values():
        check_target(out / name)
    sweep_gone(out)
    err.print(RESEARCH_ONLY, style="bold")
    from hemoseg.inference import Extras, Limits, load_model

    limits = Limits(
        max_memory_gb=max_memory,
        time_budget_s=None if time_budget is None else parse_duration(time_budget),
        scratch=out,
    )
    extras = Extras(second_look=second_look)
    loaded = load_model(model, device=device.value, exact=exact, engine=engine.value, limits=limits, extras=extras)
    err.print(f"model {loaded.identity.name} {loaded.identity.version}: {loaded.identity.notice}", markup=False)
    results: dict[Path, dict[str, Any]] = {}
    with bars() as watch:
        start = _seconds_since_start()
        for path, name in names.items():
            try:
                result = _segment_one(
                    path, loaded, out, start=0.0 if results else start, assume_hu=assume_hu, watch=watch
                )
            except (HemosegError, MemoryError, OSError) as error:
                if len(scans) == 1 or isinstance(error, InterruptedRunError):
                    raise
                failures[path] = failure_of(error, where=path)
                watch.say(f"{name}: failed: {failures[path].found}")
                continue
            results[path] = result
            _tell(result, f"{name}: {_volume_text(result)} -> {out / name}", watch, as_json)
    if as_json:
        _print_json([results.get(path) for path in scans])
    _end_with([(path, failures[path]) for path in scans if path in failures])


def _end_with(failures: list[tuple[Path, HemosegError]]) -> None:
    """Tell of the scans that failed, and end the process with the largest of their exit codes; nothing if none did."""
    if failures:
        print_failures(failures)
        raise typer.Exit(max(error.exit_code for _, error in failures))


def _print_json(results: list[dict[str, Any] | None]) -> None:
    """One scan's result, or an array of several with null for those that failed."""
    typer.echo(json.dumps(results if len(results) > 1 else results[0], indent=2, ensure_ascii=False))


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


def _segment_one(
    path: Path, model: "Model", out: Path, *, start: float, assume_hu: bool, watch: Bars
) -> dict[str, Any]:
    from hemoseg.io import read_scan
    from hemoseg.report import provenance, write_result

    began = time.monotonic()
    volume = read_scan(path, assume_hu=assume_hu)
    read = time.monotonic() - began
    watch.begin(volume.name, 1)
    result = model.segment(volume, watch=_tiles(watch))
    watch.finish()
    seconds = {"start": start, "read": read, **result.seconds}
    value: dict[str, Any] = write_result(result, out, seconds=seconds, provenance=provenance(volume))
    return value


def _volume_text(result: dict[str, Any]) -> str:
    """Milliliters of hemorrhage, with their interval where there is one.

    Example:
        >>> _volume_text({"hemorrhage_ml": 12.34, "interval": {"level": 0.9, "hemorrhage_ml": [10.0, 15.27]}})
        '12.3 ml hemorrhage (90 %: 10.0 to 15.3)'
    """
    text, ends = f"{result['hemorrhage_ml']:.1f} ml hemorrhage", result["interval"]["hemorrhage_ml"]
    return text if ends is None else f"{text} ({result['interval']['level'] * 100:g} %: {ends[0]:.1f} to {ends[1]:.1f})"


def _tell(result: dict[str, Any], line: str, watch: Bars, as_json: bool) -> None:
    """One line on stdout, which JSON needs for itself, and the warnings."""
    watch.say(line) if as_json else typer.echo(line)
    for warning in result["warnings"]:
        watch.say(f"  warning: {warning}")


def _tiles(watch: Bars) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        if watch.task is not None:
            watch.progress.update(watch.task, completed=done, total=total, text="tiles")

    return tell


def _names(scans: list[Path]) -> tuple[dict[Path, str], dict[Path, HemosegError]]:
    """{scan: name of its result}, and what is wrong with files that no result can be named after.

    Raises:
        InputError: a name stands for two scans, or the only scan has none.
    """
    from hemoseg.io import scan_name

    names: dict[Path, str] = {}
    failures: dict[Path, HemosegError] = {}
    for path in scans:
        try:
            names[path] = scan_name(path)
        except InputError as error:
            if len(scans) == 1:
                raise
            failures[path] = error
    doubles = [name for name, count in Counter(map(names.get, scans)).items() if count > 1 and name is not None]
    if doubles:
        raise InputError(
            f"{len(doubles)} name(s) stand for more than one scan: {', '.join(doubles[:8])}",
            where="SCAN...",
            expected="files with different names, for each result's folder is named after its file",
            remedy="segment them in separate calls with different --out folders",
        )
    return names, failures


def _seconds_since_start() -> float:
    import psutil

    return max(0.0, time.time() - float(psutil.Process().create_time()))
