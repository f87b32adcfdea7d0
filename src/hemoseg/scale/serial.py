"""Jobs one after the other, in this process."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hemoseg.errors import HemosegError, InterruptedRunError
from hemoseg.scale.executor import Job, R, T
from hemoseg.scale.failure import named_failure, tell_or_raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Serial:
    """The executor for one worker: nothing is started and nothing pickled.

    Its price: a job that kills its process ends the run, and no job has a time limit.
    """

    log: Path | None = None
    """File that gets the traceback of an unexpected exception; None keeps it as the error's note alone."""

    def run(
        self,
        function: Callable[[T], R],
        jobs: Iterable[Job[T]],
        *,
        done: Callable[[str, R], None],
        failed: Callable[[str, HemosegError], None] | None = None,
    ) -> None:
        """Call the function for every job in order; see `Executor`."""
        for job in jobs:
            try:
                result = function(job.argument)
            except (InterruptedRunError, KeyboardInterrupt):
                raise
            except BaseException as error:  # sys.exit in a job ends the job, not the run
                tell_or_raise(failed, job.name, named_failure(job.name, error, self.log))
                continue
            done(job.name, result)
