"""A run that lasts: its workers tell their process ids by files' names, then are busy until they are killed.

Its handlers raise, as those of the command line do.
"""

import signal
import sys
from pathlib import Path

from scale_jobs import announce

from hemoseg.errors import InterruptedRunError
from hemoseg.scale import Job, ProcessPool


def _end(number: int, _frame: object) -> None:
    raise InterruptedRunError(number, where="script", kept="nothing")


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        ProcessPool(workers=2).run(
            announce,
            [Job(name=name, argument=Path(sys.argv[1])) for name in ("a", "b")],
            done=lambda name, result: None,
        )
    except InterruptedRunError as error:
        sys.exit(error.exit_code)
