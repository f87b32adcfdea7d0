"""The training loop: draw, step, validate, log, save; stopped at any time, resumed to the same bits."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from pathlib import Path

from hemoseg.data import BatchSource
from hemoseg.errors import InterruptedRunError
from hemoseg.nets import deterministic, keep_freed_memory, memory_errors
from hemoseg.nets.weights import check_plan, take_weights, write_weights
from hemoseg.plan import Configuration, Layout, Plan
from hemoseg.training.checkpoint import State, read_state, write_state
from hemoseg.training.distributed import ALONE, Ranks
from hemoseg.training.early_stop import LOSS_KEPT
from hemoseg.training.schedule import learning_rate
from hemoseg.training.step import Learner
from hemoseg.training.tracker import Log, NoLog
from hemoseg.training.validation import EMA_KEPT, mean_dice, moved

SAVE_EVERY_S = 60.0
"""Longest time between saved states; each epoch ends with one too. It decides what a kill loses, never what is
computed."""
CENTURY_S = 100 * 365.25 * 24 * 3600.0
"""What takes longer is told without a number: a `timedelta` ends somewhere, and what a rate says does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a watcher is told after each iteration and each validation batch."""

    iteration: int
    """Steps done."""
    iterations: int
    """Steps in all."""
    loss: float
    """Loss of this step, or batch."""
    seconds: float
    """Time since this process began to train."""
    first: int
    """Steps that were done before this process."""
    validated: int | None = None
    """Validation batches done of this epoch; None after a step."""

    @property
    def per_second(self) -> float:
        """Steps in a second, validation included."""
        return (self.iteration - self.first) / self.seconds if self.seconds else 0.0

    @property
    def left_s(self) -> float | None:
        """Time that the steps left will take at this rate; None before it is known."""
        return (self.iterations - self.iteration) / self.per_second if self.per_second else None

    @property
    def text(self) -> str:
        """One line for who looks on.

        Example:
            >>> Progress(iteration=100, iterations=4000, loss=-0.5, seconds=50.0, first=0).text
            'loss -0.500, 2.00 it/s, 0:32:30 left'
        """
        what = "loss" if self.validated is None else f"validation batch {self.validated}, loss"
        left = "" if self.left_s is None else f", {self.per_second:.2f} it/s, {_time_text(self.left_s)} left"
        return f"{what} {self.loss:.3f}{left}"


def _time_text(seconds: float) -> str:
    """A time for people."""
    return str(timedelta(seconds=round(seconds))) if seconds < CENTURY_S else "more than a century"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a training is asked beside its plan."""

    patience: int | None = None
    """Epochs to wait for a better training loss before stopping; None trains to the end."""
    init: Path | None = None
    """Weights to begin with, where names and shapes agree; None draws them."""
    tensorboard: bool = False
    """Whether to write TensorBoard's files."""
    fold: int = 0
    """Number of the fold, which begins with weights of its own."""
    halved: bool = True
    """Whether a network that is planned in bf16 is computed in bf16: `bf16_fault` says where it cannot be."""


def train(
    folder: Path,
    plan: Plan,
    configuration: Configuration,
    source: BatchSource,
    *,
    plan_sha256: str,
    device: str,
    layout: Layout = "contiguous",
    watch: Callable[[Progress], None],
    stop: Callable[[], int | None],
    choices: Choices = Choices(),
    ranks: Ranks = ALONE,
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Train one fold to its end, from where it stands; writes `last.safetensors` when done.

    On a CPU the weights depend on plan, cases, fold and choices alone: a training that was killed and resumed
    ends with the same bits as an unbroken one on the same machine with the same number of threads.

    Args:
        folder: the fold's folder; `state.safetensors`, `best.safetensors` and the logs live there while it runs.
        plan: the plan.
        configuration: the network to train.
        source: gives the batch of any iteration, and validation batches; this rank's part of them.
        plan_sha256: what a state must carry to be resumed.
        device: `cpu` or `cuda`.
        layout: order in memory of what is computed; another one may round differently.
        watch: told after each iteration and validation batch.
        stop: asked as often; the number of the signal that asks to stop, or None.
        choices: what is asked beside the plan.
        ranks: all processes that train it; each calls this, the first one writes the files and the others wait for it.
        after_epoch: called when the state and the logs of an epoch are written.

    Raises:
        InterruptedRunError: `stop` asked; the state is saved.
        ResourceError: loss or gradient are no longer finite; a state that was saved before is kept.
        ArtifactError: a saved state is damaged.
    """
    last = folder / "last.safetensors"
    if last.exists():
        check_plan(last, plan_sha256)
        return
    learner = Learner(
        plan,
        configuration,
        ignore=source.ignore,
        device=device,
        layout=layout,
        halved=choices.halved,
        ranks=ranks,
        fold=choices.fold,
    )
    training = _Training(folder, plan, configuration, source, learner, plan_sha256=plan_sha256, choices=choices)
    with closing(training.log):
        while not training.is_over:
            epochs = training.state.epochs
            with memory_errors(where=folder), deterministic(device):
                progress = training.advance()
            watch(progress)
            signal_number = ranks.first_signal(stop())
            ends_epoch = training.state.epochs > epochs  # the last one's end is that of the training
            if signal_number is not None or ends_epoch or time.monotonic() - training.saved > SAVE_EVERY_S:
                training.save()
            if ends_epoch:
                after_epoch()
            _end_if_asked(signal_number, folder, kept="the state of the training is saved")
    training.finish(last)
    _end_if_asked(ranks.first_signal(stop()), folder, kept="this training is complete and saved")


def _end_if_asked(signal_number: int | None, folder: Path, *, kept: str) -> None:
    if signal_number is not None:
        raise InterruptedRunError(signal_number, where=folder, kept=kept)


class _Training:
    """A fold's training in units of work: a step, or a validation batch; after any of them it can be saved."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        configuration: Configuration,
        source: BatchSource,
        learner: Learner,
        *,
        plan_sha256: str,
        choices: Choices,
    ) -> None:
        keep_freed_memory()
        self.folder = folder
        self.recipe = plan.recipe
        self.iterations = configuration.iterations
        self.source = source
        self.plan_sha256 = plan_sha256
        self.choices = choices
        self.learner = learner
        self.state = self._begin()
        self.first = self.state.iteration
        self.writes = learner.ranks.is_first
        self.log = NoLog()
        if self.writes:
            self.log = Log(
                folder,
                plan.labels[1:],
                iteration=self.state.iteration,
                epochs=self.state.epochs,
                tensorboard=choices.tensorboard,
            )
        self.began = self.saved = time.monotonic()

    def _begin(self) -> State:
        """Where the training stands; network and optimizer are put there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "state.safetensors"
        if path.exists():
            return read_state(path, self.learner.network, self.learner.optimizer, plan_sha256=self.plan_sha256)
        if self.choices.init is not None:
            take_weights(self.learner.network, self.choices.init)
        return State()

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.state.stopped or (self.state.iteration == self.iterations and not self._epoch_is_due)

    @property
    def _epoch_is_due(self) -> bool:
        """Whether all steps of an epoch are done, and its end is not."""
        done, length = self.state.iteration, self.recipe.epoch_iterations
        steps_of_epochs = ceil(done / length) if done == self.iterations else done // length
        return steps_of_epochs > self.state.epochs

    @property
    def _steps(self) -> int:
        """Steps of the epoch so far."""
        return self.state.iteration - self.state.epochs * self.recipe.epoch_iterations

    @property
    def _validation_batches(self) -> int:
        """Validation batches of the epoch; fewer of a last one that is shorter."""
        return ceil(self.recipe.validation_batches * self._steps / self.recipe.epoch_iterations)

    def advance(self) -> Progress:
        """Do one unit of work: a validation batch if an epoch is due, else a step; the last of an epoch ends it."""
        validates = self._epoch_is_due
        loss = self._validate() if validates else self._step()
        validated = self.state.tally.batches
        if self._epoch_is_due and validated >= self._validation_batches:
            self._end_epoch()
        return Progress(
            iteration=self.state.iteration,
            iterations=self.iterations,
            loss=loss,
            seconds=time.monotonic() - self.began,
            first=self.first,
            validated=validated if validates else None,
        )

    def _step(self) -> float:
        """One optimizer step; its loss."""
        iteration = self.state.iteration
        rate = learning_rate(self.recipe, iteration, self.iterations)
        batch = self.source.batch(iteration)
        loss, dice = self.learner.step(batch, rate, where=self.folder, iteration=iteration)
        self.state = replace(self.state, iteration=iteration + 1, loss_sum=self.state.loss_sum + loss)
        self.log.add(iteration + 1, loss, rate, dice, time.monotonic() - self.began)
        return loss

    def _validate(self) -> float:
        """One validation batch; its loss. Each epoch has its own batches, as in nnU-Net."""
        tally = self.state.tally
        number = self.state.epochs * self.recipe.validation_batches + tally.batches
        after = self.learner.validate(self.source.validation_batch(number), tally)
        self.state = replace(self.state, tally=after)
        return after.loss - tally.loss

    def _end_epoch(self) -> None:
        """Averages, the best weights, the epoch's line, and whether to stop."""
        state, recipe = self.state, self.recipe
        rate = learning_rate(recipe, state.iteration - 1, self.iterations)
        loss = state.loss_sum / self._steps
        average = moved(state.loss_average, loss, LOSS_KEPT)
        assert average is not None
        values: dict[str, float | int | None] = {"epoch": state.epochs + 1, "learning_rate": rate}
        values |= {"loss": loss, "loss_average": average}
        dice, ema, best = None, state.ema, state.best
        if recipe.validation_batches:
            dice = state.tally.dice
            ema = moved(ema, mean_dice(dice), EMA_KEPT)
            if ema is not None and (best is None or ema > best):
                best = ema
                if self.writes:
                    path = self.folder / "best.safetensors"
                    write_weights(path, self.learner.network, plan_sha256=self.plan_sha256)
            values |= {"validation_loss": state.tally.loss / state.tally.batches, "ema": ema}
        self.log.flush()
        self.log.add_epoch(state.iteration, values, dice)
        wait, stopped = state.wait, False
        if self.choices.patience is not None:
            wait, stopped = wait.after(state.epochs, average, rate, patience=self.choices.patience)
        self.state = State(
            iteration=state.iteration,
            epochs=state.epochs + 1,
            stopped=stopped,
            loss_average=average,
            ema=ema,
            best=best,
            wait=wait,
        )

    def save(self) -> None:
        """Write the state, if this process is the one that writes."""
        self.saved = time.monotonic()
        if not self.writes:
            return
        self.log.flush()  # first: a state without its lines in the log would lose them
        network, optimizer = self.learner.network, self.learner.optimizer
        write_state(self.folder / "state.safetensors", network, optimizer, self.state, plan_sha256=self.plan_sha256)

    def finish(self, last: Path) -> None:
        """Write the weights, if this process is the one that writes."""
        if self.writes:
            write_weights(last, self.learner.network, plan_sha256=self.plan_sha256)
