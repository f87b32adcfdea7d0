"""What is kept of an exception that ended a job, and what is raised for it."""

import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hemoseg.errors import HemosegError, ResourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An exception in a form that passes from one process to another."""

    summary: str
    """The exception and the line that raised it."""
    traceback: str
    """The whole traceback."""
    error: HemosegError | None
    """The exception itself, if it is one of ours."""

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """What is to be told of an exception."""
        summary = "".join(traceback.format_exception_only(error)).strip()
        frames = traceback.extract_tb(error.__traceback__)
        if frames:
            summary += f" ({Path(frames[-1].filename).name}:{frames[-1].lineno}, in {frames[-1].name})"
        return cls(
            summary=summary,
            traceback="".join(traceback.format_exception(error)),
            error=error if isinstance(error, HemosegError) else None,
        )


def named_failure(name: str, error: BaseException, log: Path | None) -> HemosegError:
    """What a job ended in, for one that returns its errors; the whole traceback goes into the log."""
    return error_of(name, Failure.of(error), log)


def raise_failure(name: str, failure: Failure, log: Path | None) -> NoReturn:
    """Raise what ended the job `name`; the whole traceback goes along as a note, and into the log if there is one.

    Raises:
        HemosegError: the job raised it.
        ResourceError: the job raised anything else.
    """
    raise error_of(name, failure, log)


def tell_or_raise(failed: Callable[[str, HemosegError], None] | None, name: str, error: HemosegError) -> None:
    """Tell of a job's failure where somebody wants to know; otherwise it ends the run.

    Raises:
        HemosegError: the failure, if nobody is told.
    """
    if failed is None:
        raise error
    failed(name, error)


def error_of(name: str, failure: Failure, log: Path | None) -> HemosegError:
    """What ended the job `name` as one of our errors; the whole traceback is its note, and in the log if there is one.

    An error of ours stays what it is; any other exception becomes a `ResourceError` that names the job.
    """
    error = failure.error
    if error is None:
        _append(log, f"{name}\n{failure.traceback}\n")
        error = ResourceError(
            f"failed with {failure.summary}",
            where=name,
            expected="no error but those that tell what to do",
            remedy=f"read the traceback in {log}" if log else "report it, with the traceback in this error's notes",
        )
    error.add_note(failure.traceback)
    return error


def late_error(
    name: str, limit_s: float, *, remedy: str = "look whether its files can be read at all"
) -> ResourceError:
    """What is told of a job that takes longer than it may."""
    return ResourceError(
        f"not done after {limit_s:g} s",
        where=name,
        expected="an answer in that time",
        remedy=remedy,
    )


def _append(log: Path | None, text: str) -> None:
    if log is not None:
        with suppress(OSError):  # a full disk may be the very reason; the note has the text too
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a", encoding="utf-8") as handle:
                handle.write(text)
