"""`segment` and `demo`: a model at work."""

import json
import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from hemoseg.cli.progress import RESEARCH_ONLY, Bars, bars

if TYPE_CHECKING:
    from hemoseg.inference import Model


class Device(StrEnum):
    """Where networks run."""

    cpu = "cpu"
    cuda = "cuda"


def segment(
    scans: Annotated[list[Path], typer.Argument(metavar="SCAN...", help="NIfTI files (.nii or .nii.gz).")],
    out: Annotated[Path, typer.Option(help="Folder for the results, one folder per scan in it.")],
    model: Annotated[
        str | None, typer.Option(help="Name of an embedded model, or a bundle's folder like RUN/model.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.cpu,
    assume_hu: Annotated[
        bool, typer.Option("--assume-hu", help="Take the values as HU even if they do not look like it.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="All as nnU-Net does it: float32, whole field, every tile and mirroring.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print report.json on stdout (an array for several scans).")
    ] = False,
) -> None:
    """Segment scans: mask.nii.gz, report.json and report.html per scan. Research use only.

    Each scan's folder is named after its file without .nii or .nii.gz.
    """
    from hemoseg.io import scan_name
    from hemoseg.report import check_target

    err = Console(stderr=True, highlight=False)
    names = [scan_name(path) for path in scans]
    _refuse_doubles(names)
    for name in names:
        check_target(out / name)
    err.print(RESEARCH_ONLY, style="bold")
    from hemoseg.inference import load_model

    loaded = load_model(model, device=device.value, exact=exact)
    err.print(f"model {loaded.identity.name} {loaded.identity.version}: {loaded.identity.notice}", markup=False)
    results = []
    with bars() as watch:
        start = _seconds_since_start()
        for number, path in enumerate(scans):
            result = _segment_one(path, loaded, out, start=0.0 if number else start, assume_hu=assume_hu, watch=watch)
            results.append(result)
            line = f"{names[number]}: {result['hemorrhage_ml']:.1f} ml hemorrhage -> {out / names[number]}"
            watch.say(line) if as_json else typer.echo(line)
            for warning in result["warnings"]:
                watch.say(f"  warning: {warning}")
    if as_json:
        typer.echo(json.dumps(results if len(scans) > 1 else results[0], indent=2, ensure_ascii=False))


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the page and the figures.")] = Path("demo"),
) -> None:
    """Segment simulated heads with bleeds of exactly known volume and measure the result. Research use only."""
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


def _tiles(watch: Bars) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        if watch.task is not None:
            watch.progress.update(watch.task, completed=done, total=total, text="tiles")

    return tell


def _refuse_doubles(names: list[str]) -> None:
    from hemoseg.errors import InputError

    doubles = [name for name, count in Counter(names).items() if count > 1]
    if doubles:
        raise InputError(
            f"{len(doubles)} name(s) stand for more than one scan: {', '.join(doubles[:8])}",
            where="SCAN...",
            expected="files with different names, for each result's folder is named after its file",
            remedy="segment them in separate calls with different --out folders",
        )


def _seconds_since_start() -> float:
    import psutil

    return max(0.0, time.time() - float(psutil.Process().create_time()))
