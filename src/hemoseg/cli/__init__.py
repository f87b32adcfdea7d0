"""The command line. Commands parse, call and print; what they need is imported when they run.

Exit codes: 0 fine, 2 bad input, 3 a worker or resource failed, 130 and 143 interrupted.
"""

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import FrameType
from typing import NoReturn

import typer

from hemoseg.cli.failures import failure_of, print_failure
from hemoseg.errors import HemosegError, InterruptedRunError

Answer = Callable[[int, FrameType | None], object] | signal.Handlers
"""What a process does about a signal."""
YOUNG_OBJECTS = 50_000
"""New objects after which the collector looks for cycles: Python's 700 make it look a hundred times during imports."""
SPINS = "20000"
"""Turns of a thread's loop before it sleeps; libgomp's own are 300,000, milliseconds."""
USE, TRAIN, JUDGE, STAGES = "Use a model", "Make a model", "Judge a model", "Its stages, each alone"
COMMANDS: Mapping[str, tuple[str, str]] = {
    "segment": ("scans:segment", USE),
    "demo": ("scans:demo", USE),
    "models": ("about:models", USE),
    "version": ("about:version", USE),
    "nnunet": ("nnunet:app", USE),
    "export-onnx": ("nnunet:export_onnx", USE),
    "import": ("datasets:import_data", TRAIN),
    "merge": ("datasets:merge", TRAIN),
    "check": ("assess:check", TRAIN),
    "run": ("runs:run", TRAIN),
    "evaluate": ("judge:evaluate", JUDGE),
    "compare": ("judge:compare", JUDGE),
    "rank": ("judge:rank", JUDGE),
    "fingerprint": ("runs:fingerprint", STAGES),
    "plan": ("plan:plan", STAGES),
    "splits": ("runs:splits", STAGES),
    "preprocess": ("runs:preprocess", STAGES),
    "train": ("runs:train", STAGES),
    "validate": ("runs:validate", STAGES),
    "select": ("runs:select", STAGES),
    "report": ("assess:report", STAGES),
    "bundle": ("assess:bundle", STAGES),
}
"""{name: where it stands in this package, and its panel in the help}; the help keeps their order."""


def make_app(wanted: str | None = None) -> typer.Typer:
    """The command line; where a command is wanted, that one alone is loaded.

    Args:
        wanted: what may be the name of a command. Any other word gives all of them.
    """
    app = typer.Typer(
        name="hemoseg",
        help="Hemorrhage masks, milliliters and a report from non-contrast head CT; validated models from labeled "
        "scans. Research use only. Not a medical device.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_hold_commands)
    names = (wanted,) if wanted is not None and wanted in COMMANDS else tuple(COMMANDS)
    for name in names:
        place, panel = COMMANDS[name]
        module, attribute = place.split(":")
        command = getattr(import_module(f"hemoseg.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(command)
    return app


def _hold_commands() -> None:
    """Without a callback a lone command would take the place of the group."""


def main() -> NoReturn:
    """Run the command line and end the process with the exit code that is due."""
    code = 0
    try:
        _answer(_end)
        gc.set_threshold(YOUNG_OBJECTS)
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # else it searches every installed package for some
        # torch's threads spin while they wait for each other, longer than they need where nothing else runs, and
        # longer than is good where others use the CPUs too (benchmarks/shared_cpus.py). Read when torch is loaded.
        if "OMP_WAIT_POLICY" not in os.environ:
            os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
        atexit.register(gc.freeze)  # what is left at the end the system takes back faster than the collector looks
        make_app(sys.argv[1] if len(sys.argv) > 1 else None)()
    except (HemosegError, MemoryError, OSError, ModuleNotFoundError) as error:
        _answer(signal.SIG_IGN)  # as torchrun sends one to all processes when one of them dies
        failure = failure_of(error, where="hemoseg")
        print_failure(failure)
        code = failure.exit_code
    finally:
        # nothing is left to keep, and nobody to catch an error
        _answer(signal.SIG_DFL if code == 0 else lambda _number, _frame: os._exit(code))
    sys.exit(code)


def _answer(answer: Answer) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, answer)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise InterruptedRunError(number, where="hemoseg", kept="files written so far are whole")
