"""What a training leaves to read: JSON lines, and TensorBoard's files where they are asked for."""

import json
import os
from math import isnan
from pathlib import Path
from typing import Any

from hemoseg.artifacts import appended

LOG_EVERY = 10
"""Iterations that one line of `train.jsonl` averages."""


class NoLog:
    """The log of a process that keeps none: another one does."""

    def add(self, iteration: int, loss: float, rate: float, dice: list[float], seconds: float) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def add_epoch(self, iteration: int, values: dict[str, Any], dice: tuple[float, ...] | None) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Log(NoLog):
    """`train.jsonl`, one line of means per `LOG_EVERY` iterations, and `epochs.jsonl`, one line per epoch.

    Args:
        folder: the fold's folder.
        classes: names of the classes after the background.
        iteration: steps done before; what the files have of later ones, a kill left there, and it is cut off.
        epochs: epochs done before, likewise.
        tensorboard: whether TensorBoard's files are written as well, into `tensorboard/`.
    """

    def __init__(
        self, folder: Path, classes: tuple[str, ...], *, iteration: int, epochs: int, tensorboard: bool = False
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.steps, self.epochs = folder / "train.jsonl", folder / "epochs.jsonl"
        self.classes = classes
        self.rows: list[tuple[float, list[float]]] = []
        self.last: dict[str, Any] = {}
        for path, unit, done in ((self.steps, "iteration", iteration), (self.epochs, "epoch", epochs)):
            path.touch()
            _cut(path, unit, done)
        self.board = _open_board(folder / "tensorboard", iteration) if tensorboard else None

    def add(self, iteration: int, loss: float, rate: float, dice: list[float], seconds: float) -> None:
        """Keep one iteration; write a line when `LOG_EVERY` are together."""
        self.rows.append((loss, dice))
        self.last = {"iteration": iteration, "learning_rate": rate, "seconds": round(seconds, 2)}
        if iteration % LOG_EVERY == 0:
            self.flush()

    def flush(self) -> None:
        """Write what is kept as one line of means."""
        if not self.rows:
            return
        count = len(self.rows)
        means = [round(sum(row[1][i] for row in self.rows) / count, 6) for i in range(len(self.classes))]
        loss = round(sum(row[0] for row in self.rows) / count, 6)
        _append(self.steps, {**self.last, "loss": loss, "dice": dict(zip(self.classes, means, strict=True))})
        self._show("train", self.last["iteration"], {"loss": loss, "learning_rate": self.last["learning_rate"]})
        self.rows.clear()

    def add_epoch(self, iteration: int, values: dict[str, Any], dice: tuple[float, ...] | None) -> None:
        """Write the line of an epoch; a class without a pseudo Dice has null.

        Args:
            iteration: steps done.
            values: the epoch's number as `epoch`, and what was found in it.
            dice: pseudo Dice per class; None without validation.
        """
        found = {} if dice is None else {"dice": dict(zip(self.classes, map(_rounded, dice), strict=True))}
        line = {name: _rounded(value) if isinstance(value, float) else value for name, value in values.items()} | found
        _append(self.epochs, {"iteration": iteration, **line})
        self._show("epoch", iteration, {**line, **{f"dice/{name}": v for name, v in found.get("dice", {}).items()}})

    def close(self) -> None:
        """Wait until TensorBoard's files have all: a thread writes them, and a worker process ends without it."""
        if self.board is not None:
            self.board.close()

    def _show(self, group: str, iteration: int, values: dict[str, Any]) -> None:
        if self.board is not None:
            for name, value in values.items():
                if isinstance(value, float):
                    self.board.add_scalar(f"{group}/{name}", value, iteration)
            self.board.flush()


def _rounded(value: float) -> float | None:
    return None if isnan(value) else round(value, 8)


def _append(path: Path, line: dict[str, Any]) -> None:
    with appended(path), path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(line) + "\n")
        handle.flush()
        os.fsync(handle.fileno())


def _cut(path: Path, unit: str, done: int) -> None:
    """Cut off what a kill left in a log behind an iteration or epoch: later lines, and half of one."""
    length = 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            if json.loads(line)[unit] > done or not line.endswith(b"\n"):
                break
        except (ValueError, TypeError, KeyError):
            break
        length += len(line)
    os.truncate(path, length)


def _open_board(folder: Path, iteration: int) -> Any:
    """A writer of TensorBoard's files; what an earlier process showed of later iterations is purged."""
    from tensorboardX import SummaryWriter

    # files are named by the second: one that is begun in the same second would replace the earlier one
    return SummaryWriter(str(folder), purge_step=iteration + 1, filename_suffix=f".{iteration}")
