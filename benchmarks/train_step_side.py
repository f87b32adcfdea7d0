"""Our side of train_step.py: python train_step_side.py RUN WARM_UP STEPS OUT.json.

`hemoseg train` on a run of one fold, stopped by a signal after so many iterations; the state is saved after the last.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from hemoseg.artifacts import write_json
from hemoseg.errors import InterruptedRunError
from hemoseg.inference.agreement import processor
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.learn import train_stage
from hemoseg.pipeline.precision import computed_in
from hemoseg.pipeline.watch import Silent
from hemoseg.training.step import Learner


def made_with() -> dict[str, str | int]:
    """What losses depend on beside plan and code."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "processor": processor()}


def main() -> None:
    """Train; seconds and loss of each iteration, and how long each waited for its batch."""
    folder, warm_up, steps, out = RunFolder(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    made, rows = made_with(), list[dict[str, float]]()
    step, ended, patch = Learner.step, time.monotonic(), ()

    def timed(learner: Learner, batch: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal ended, patch
        before, waited, patch = ended, time.monotonic() - ended, batch.inputs.shape
        found = step(learner, batch, *arguments, **options)
        ended = time.monotonic()
        rows.append({"seconds": ended - before, "waited_s": waited, "loss": found[0]})
        if len(rows) == warm_up + steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return found

    Learner.step = timed  # type: ignore[method-assign, assignment]
    with suppress(InterruptedRunError):
        train_stage(folder, folder.plan(), folder.settings(), Silent())
    plan = folder.plan()
    precision = computed_in(folder, plan, plan.trained_configurations[-1].name, (0,))
    write_json(out, {"rows": rows[warm_up:], "patch": patch, "precision": precision, "made_with": made})


if __name__ == "__main__":
    main()
