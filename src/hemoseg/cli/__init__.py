"""The command line. Commands parse, call and print; what they need is imported when they run.

Exit codes: 0 fine, 2 bad input, 3 a worker or resource failed, 130 and 143 interrupted.
"""

import atexit
import gc
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from hemoseg.cli.about import models, version
from hemoseg.cli.assess import bundle, check, report
from hemoseg.cli.datasets import import_data, merge
from hemoseg.cli.failures import failure_of, print_failure
from hemoseg.cli.judge import compare, evaluate, rank
from hemoseg.cli.nnunet import app as nnunet
from hemoseg.cli.nnunet import export_onnx
from hemoseg.cli.plan import plan
from hemoseg.cli.runs import fingerprint, preprocess, run, select, splits, train, validate
from hemoseg.cli.scans import demo, segment
from hemoseg.errors import HemosegError, InterruptedRunError

app = typer.Typer(
    name="hemoseg",
    help="Hemorrhage masks, milliliters and a report from non-contrast head CT; validated models from labeled "
    "scans. Research use only. Not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
YOUNG_OBJECTS = 50_000
"""New objects after which the collector looks for cycles: Python's 700 make it look a hundred times during imports."""
USE, TRAIN, JUDGE, STAGES = "Use a model", "Make a model", "Judge a model", "Its stages, each alone"
app.command(rich_help_panel=USE)(segment)
app.command(rich_help_panel=USE)(demo)
app.command(rich_help_panel=USE)(models)
app.command(rich_help_panel=USE)(version)
app.add_typer(nnunet, rich_help_panel=USE)
app.command("export-onnx", rich_help_panel=USE)(export_onnx)
app.command("import", rich_help_panel=TRAIN)(import_data)
app.command(rich_help_panel=TRAIN)(merge)
app.command(rich_help_panel=TRAIN)(check)
app.command(rich_help_panel=TRAIN)(run)
app.command(rich_help_panel=JUDGE)(evaluate)
app.command(rich_help_panel=JUDGE)(compare)
app.command(rich_help_panel=JUDGE)(rank)
app.command(rich_help_panel=STAGES)(fingerprint)
app.command(rich_help_panel=STAGES)(plan)
app.command(rich_help_panel=STAGES)(splits)
app.command(rich_help_panel=STAGES)(preprocess)
app.command(rich_help_panel=STAGES)(train)
app.command(rich_help_panel=STAGES)(validate)
app.command(rich_help_panel=STAGES)(select)
app.command(rich_help_panel=STAGES)(report)
app.command(rich_help_panel=STAGES)(bundle)


def main() -> NoReturn:
    """Run the command line and end the process with the exit code that is due."""
    code = 0
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _end)
        gc.set_threshold(YOUNG_OBJECTS)
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # else it searches every installed package for some
        atexit.register(gc.freeze)  # what is left at the end the system takes back faster than the collector looks
        app()
    except (HemosegError, MemoryError, OSError, ModuleNotFoundError) as error:
        failure = failure_of(error, where="hemoseg")
        print_failure(failure)
        code = failure.exit_code
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)  # nothing is left to keep, and nobody to catch an error
    sys.exit(code)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise InterruptedRunError(number, where="hemoseg", kept="files written so far are whole")
