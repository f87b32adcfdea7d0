"""`python -m hemoseg` and the command `hemoseg`: from the first moment on an interrupt ends the process quietly."""

import os
import signal
from types import FrameType
from typing import NoReturn


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """End at once: nothing has begun while modules are being loaded, and an exception would end in a traceback."""
    os._exit(128 + number)


for _number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(_number, _end)


def main() -> NoReturn:
    """Load the command line and run it; it has its own answer to signals."""
    from hemoseg.cli import main as run

    run()


if __name__ == "__main__":
    main()
