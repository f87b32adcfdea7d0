"""`python -m hemoseg` and the command `hemoseg`: from the first moment on an interrupt ends the process quietly."""

import os
from _signal import SIGINT, SIGTERM, signal  # type: ignore[import-not-found]  # `signal` adds enums, and loads for long


def _end(number: int, _frame: object) -> None:
    """End at once: nothing has begun while modules are being loaded, and an exception would end in a traceback."""
    os._exit(128 + number)


for _number in (SIGINT, SIGTERM):
    signal(_number, _end)


def main() -> None:
    """Load the command line and run it; it has its own answer to signals."""
    from hemoseg.cli import main as run

    run()


if __name__ == "__main__":
    main()
