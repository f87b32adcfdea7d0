"""Many cases at once, and all that is wrong with them told together."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hemoseg.errors import HemosegError, InputError
from hemoseg.evaluation.files import NAMES_SHOWN
from hemoseg.scale import Executor, Job, default_workers, make_executor

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int, str], None]
"""Called with cases done, cases in all, and the name of the one that ended."""
CASES_PER_WORKER = 8
"""Below this, starting another process takes longer than it saves."""


def run_cases(function: Callable[[T], R | InputError], jobs: Sequence[Job[T]], progress: Progress | None) -> list[R]:
    """The result of every job, in their order.

    Args:
        function: a module's own function; what is wrong with its case it returns, so that all such cases are known
            at the end and none hides the next.
        jobs: one per case.
        progress: told about each case.

    Raises:
        InputError: some cases cannot be used; of one its own error, of several all that was found.
        ResourceError: a worker failed; names the case.
    """
    results: dict[str, Any] = {}

    def done(name: str, result: R | InputError) -> None:
        results[name] = result
        if progress is not None:
            progress(len(results), len(jobs), name)

    _executor(len(jobs)).run(function, jobs, done=done)
    in_order = [results[job.name] for job in jobs]
    problems = [result for result in in_order if isinstance(result, InputError)]
    if problems:
        raise _together(problems)
    return in_order


def _executor(cases: int) -> Executor:
    return make_executor(max(1, min(default_workers(), cases // CASES_PER_WORKER)))


def _together(problems: Sequence[InputError]) -> HemosegError:
    """One error for all; of the kind they share."""
    first, *others = problems
    if not others:
        return first
    shown = [f"{problem.where}: {problem.found}" for problem in problems[:NAMES_SHOWN]]
    more = f"\n  and {len(problems) - NAMES_SHOWN} more" if len(problems) > NAMES_SHOWN else ""
    kinds = {type(problem) for problem in problems}
    kind = kinds.pop() if len(kinds) == 1 else InputError
    remedies = list(dict.fromkeys(problem.remedy for problem in problems))
    return kind(
        "\n  ".join(["", *shown]) + more,
        where=f"{len(problems)} cases cannot be used",
        expected="; ".join(dict.fromkeys(problem.expected for problem in problems)),
        remedy="; ".join(remedies),
    )
