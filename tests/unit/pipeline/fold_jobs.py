"""Stand-ins for the training of a fold, in a module of their own: worker processes import it."""

import os
import signal
import time

from hemoseg.errors import HemosegError, InputError, InterruptedRunError
from hemoseg.pipeline.parallel import FoldWork

END_S = 60


def train(work: FoldWork) -> HemosegError | None:
    """Fold 1 kills its process, fold 2 cannot be used, 3 has an error that nobody expected; others leave a file."""
    if work.fold == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if work.fold == 2:
        return InputError("no labels", where="fold 2", expected="some", remedy="label it")
    if work.fold == 3:
        raise ZeroDivisionError
    (work.run / f"trained-{work.fold}").touch()
    return None


def wait(work: FoldWork) -> HemosegError | None:
    """Train until it is asked to stop."""
    (work.run / f"begun-{work.fold}").touch()
    for _ in range(END_S * 100):
        if (work.run / ".stop").exists():
            return InterruptedRunError(signal.SIGINT, where=work.run, kept="all")
        time.sleep(0.01)
    return None


def train_beside_a_death(work: FoldWork) -> HemosegError | None:
    """Fold 1 kills its process each time; others note that they begin, and end a while after its second death."""
    with (work.run / f"begun-{work.fold}").open("a") as log:
        log.write("x")
    if work.fold == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    for _ in range(END_S * 100):
        if (work.run / "begun-1").exists() and (work.run / "begun-1").stat().st_size == 2:
            time.sleep(1)
            return None
        time.sleep(0.01)
    return None
