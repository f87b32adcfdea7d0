"""The training loop: draw, step, log, save; stopped at any time, resumed to the same bits."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hemoseg.data import BatchSource
from hemoseg.errors import InterruptedRunError, ResourceError
from hemoseg.nets import build_network, deterministic, keep_freed_memory, memory_errors
from hemoseg.nets.weights import check_plan, write_weights
from hemoseg.plan import Configuration, Plan, Recipe
from hemoseg.training.checkpoint import State, read_state, write_state
from hemoseg.training.loss import deep_loss

SAVE_EVERY_S = 60.0
"""Time between saved states. It decides what a kill loses, never what is computed."""
LOG_EVERY = 10
"""Iterations that one line of the log averages."""
POLY_POWER = 0.9
"""Exponent of the learning rate's fall, nnU-Net's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a watcher is told after each iteration."""

    iteration: int
    """Steps done."""
    iterations: int
    """Steps in all."""
    loss: float
    """Loss of this step."""
    seconds: float
    """Time since this process began to train."""


def learning_rate(initial: float, iteration: int, iterations: int) -> float:
    """nnU-Net's poly schedule, per iteration: initial · (1 - iteration / iterations)^0.9.

    Example:
        >>> learning_rate(0.01, 0, 100), round(learning_rate(0.01, 50, 100), 6)
        (0.01, 0.005359)
    """
    return float(initial * (1 - iteration / iterations) ** POLY_POWER)


def train(
    folder: Path,
    plan: Plan,
    configuration: Configuration,
    sampler: BatchSource,
    *,
    plan_sha256: str,
    device: str,
    watch: Callable[[Progress], None],
    stop: Callable[[], int | None],
) -> None:
    """Train one fold to its end, from where it stands; writes `last.safetensors` when done.

    On a CPU the weights depend on plan, cases and fold alone: a training that was killed and resumed
    ends with the same bits as an unbroken one on the same machine with the same number of threads.

    Args:
        folder: the fold's folder; `state.safetensors` and `train.jsonl` live there while it runs.
        plan: the plan.
        configuration: the network to train.
        sampler: gives the batch of any iteration.
        plan_sha256: what a state must carry to be resumed.
        device: `cpu` or `cuda`.
        watch: told after each iteration.
        stop: asked after each iteration; the number of the signal that asks to stop, or None.

    Raises:
        InterruptedRunError: `stop` asked; the state is saved.
        ResourceError: the loss is no longer finite; the last good state is kept.
        ArtifactError: a saved state is damaged.
    """
    last, state_file = folder / "last.safetensors", folder / "state.safetensors"
    if last.exists():
        check_plan(last, plan_sha256)
        return
    keep_freed_memory()
    network, recipe = build_network(plan, configuration).to(device), plan.recipe
    optimizer = _make_optimizer(network, recipe)
    first, log = _resume(folder, network, optimizer, plan_sha256), _Log(folder / "train.jsonl", plan.labels[1:])
    began = saved = time.monotonic()

    def save(iteration: int) -> None:
        log.flush()  # first: a state without its lines in the log would lose them
        write_state(state_file, network, optimizer, State(iteration=iteration, plan_sha256=plan_sha256))

    for iteration in range(first, configuration.iterations):
        rate = learning_rate(recipe.learning_rate, iteration, configuration.iterations)
        with memory_errors(where=folder), deterministic(device):
            loss, dice = _step(network, optimizer, sampler, iteration, rate, configuration, recipe.clip_norm, device)
        _check_finite(loss, iteration, folder)
        done, elapsed = iteration + 1, time.monotonic() - began
        log.add(done, loss, rate, dice, elapsed)
        watch(Progress(iteration=done, iterations=configuration.iterations, loss=loss, seconds=elapsed))
        if (signal_number := stop()) is not None or time.monotonic() - saved > SAVE_EVERY_S:
            save(done)
            saved = time.monotonic()
        _end_if_asked(signal_number, folder, kept="the state of the training is saved")
    save(configuration.iterations)
    write_weights(last, network, plan_sha256=plan_sha256)
    _end_if_asked(stop(), folder, kept="this training is complete and saved")


def _end_if_asked(signal_number: int | None, folder: Path, *, kept: str) -> None:
    if signal_number is not None:
        raise InterruptedRunError(signal_number, where=folder, kept=kept)


def _make_optimizer(network: torch.nn.Module, recipe: Recipe) -> torch.optim.SGD:
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )


def _step(
    network: torch.nn.Module,
    optimizer: torch.optim.SGD,
    sampler: BatchSource,
    iteration: int,
    rate: float,
    configuration: Configuration,
    clip_norm: float,
    device: str,
) -> tuple[float, list[float]]:
    """One optimizer step: (loss, soft Dice per foreground class)."""
    batch = sampler.batch(iteration)
    inputs = torch.from_numpy(batch.inputs).to(device)
    labels = torch.from_numpy(batch.labels).to(device).long()
    for group in optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast(device, torch.bfloat16, enabled=configuration.precision == "bf16"):
        outputs = network(inputs)
    loss, dice = deep_loss(outputs, labels, pooled=configuration.batch_dice, ignore=sampler.ignore)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
    optimizer.step()
    return float(loss.detach()), [float(value) for value in dice]


def _resume(folder: Path, network: torch.nn.Module, optimizer: torch.optim.SGD, plan_sha256: str) -> int:
    """Iterations done before; network, optimizer and log are put where they stood then."""
    folder.mkdir(parents=True, exist_ok=True)
    path, log = folder / "state.safetensors", folder / "train.jsonl"
    if not path.exists():
        log.unlink(missing_ok=True)
        return 0
    state = read_state(path, network, optimizer, plan_sha256=plan_sha256)
    if log.is_file():
        _cut(log, state.iteration)
    return state.iteration


def _cut(log: Path, iteration: int) -> None:
    """Cut off what a kill left in the log behind an iteration: later lines, and half of one."""
    length = 0
    for line in log.read_bytes().splitlines(keepends=True):
        try:
            if json.loads(line)["iteration"] > iteration or not line.endswith(b"\n"):
                break
        except (ValueError, TypeError, KeyError):
            break
        length += len(line)
    os.truncate(log, length)


class _Log:
    """`train.jsonl`: one line per `LOG_EVERY` iterations with their means."""

    def __init__(self, path: Path, classes: tuple[str, ...]) -> None:
        self.path = path
        self.classes = classes
        self.rows: list[tuple[float, list[float]]] = []
        self.last: dict[str, Any] = {}
        self.path.touch()

    def add(self, iteration: int, loss: float, rate: float, dice: list[float], seconds: float) -> None:
        """Keep one iteration; write a line when `LOG_EVERY` are together."""
        self.rows.append((loss, dice))
        self.last = {"iteration": iteration, "learning_rate": rate, "seconds": round(seconds, 2)}
        if iteration % LOG_EVERY == 0:
            self.flush()

    def flush(self) -> None:
        """Write what is kept as one line of means."""
        if self.rows:
            count = len(self.rows)
            means = [round(sum(row[1][i] for row in self.rows) / count, 6) for i in range(len(self.classes))]
            line = {
                **self.last,
                "loss": round(sum(row[0] for row in self.rows) / count, 6),
                "dice": dict(zip(self.classes, means, strict=True)),
            }
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(line) + "\n")
                handle.flush()
                os.fsync(handle.fileno())
            self.rows.clear()


def _check_finite(loss: float, iteration: int, folder: Path) -> None:
    if math.isfinite(loss):
        return
    raise ResourceError(
        f"the loss is {loss} at iteration {iteration}",
        where=folder,
        expected="a finite loss; the last good state is kept",
        remedy="check the cases with `hemoseg check`; another --seed or fp32 may help",
    )
