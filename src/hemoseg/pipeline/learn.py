"""Training of every network of a run, in the plan's order."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING

from hemoseg.data import PartedSource, Sampler, StoredCase, check_case, open_case
from hemoseg.errors import HemosegError
from hemoseg.pipeline.curves import write_curves
from hemoseg.pipeline.folder import RunFolder, digest_of
from hemoseg.pipeline.out_of_fold import add_previous, is_predicted, jobs
from hemoseg.pipeline.parallel import FoldWork, train_folds
from hemoseg.pipeline.precision import decide
from hemoseg.pipeline.preprocess import grid_digest
from hemoseg.pipeline.start import find_starts
from hemoseg.pipeline.validate import validate_stage
from hemoseg.pipeline.watch import Silent, Watch, held_signals
from hemoseg.plan import Configuration, Plan
from hemoseg.scale.failure import named_failure
from hemoseg.settings import Settings

if TYPE_CHECKING:
    from hemoseg.training import Ranks

DRAW_EVERY_S = 60.0
"""Seconds at least between two drawings of a training's curves, which take half a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How networks are trained, beside the plan and the settings; it changes no result but for rounding."""

    tensorboard: bool = False
    """Whether to write TensorBoard's files."""
    parallel_folds: int = 1
    """Folds that are trained at the same time, with as many threads each as this leaves."""


USUAL = Manner()
"""One fold after the other."""


def learn_stage(folder: RunFolder, plan: Plan, settings: Settings, watch: Watch, *, manner: Manner = USUAL) -> None:
    """Train, then validate, each configuration: a cascade's second stage needs the first one's predictions."""
    for configuration in plan.trained_configurations:
        train_stage(folder, plan, settings, watch, only=configuration.name, manner=manner)
        validate_stage(folder, plan, settings, watch, only=configuration.name)


def train_stage(
    folder: RunFolder,
    plan: Plan,
    settings: Settings,
    watch: Watch,
    *,
    only: str | None = None,
    manner: Manner = USUAL,
    ranks: "Ranks | None" = None,
) -> None:
    """Train every network of the run, or those of one configuration; finished ones stay as they are.

    With `ranks`, all processes among them call this: each takes a part of every batch, the first writes the files.
    Without `only`, a cascade's second stage is left for a later call if the first one's predictions are not there yet.

    Raises:
        InterruptedRunError: a signal asked to stop; the state is saved.
        SettingsError: the weights to begin with are of another network, or a batch has fewer patches than there are
            ranks.
        ArtifactError: the prepared cases are not there yet, nor with `only` a previous stage's predictions; a prepared
            case is damaged; or a finished network was trained to another plan.
        ResourceError: a fold failed, or several of those that were trained at the same time.
    """
    from hemoseg.nets import use_threads
    from hemoseg.nets.weights import check_plan
    from hemoseg.training import ALONE

    ranks = ranks or ALONE
    threads = ranks.threads(folder.device().threads)
    use_threads(threads)
    asked = [(item, fold) for item, fold in jobs(plan, settings) if only in (None, item.name)]
    missing = missing_of(folder, asked)
    check_ranks(missing, ranks, at_once=manner.parallel_folds)
    _check_cases(folder, plan, missing)
    begun = {(item, fold) for item, fold in missing if folder.state(item.name, fold).is_file()}
    starts = find_starts(plan, settings, [one for one in missing if one not in begun], watch)
    for configuration, fold in asked:
        if (configuration, fold) not in missing:
            check_plan(folder.weights(configuration.name, fold), digest_of(plan))
    folds = Counter(item.name for item, _ in asked)  # those that are trained already too: threads decide bits
    everything = _works(folder, settings, missing, starts, threads=threads, folds=folds, manner=manner)
    settle = partial(decide, folder, plan, device=settings.device, watch=watch, ranks=ranks)
    for configuration in plan.trained_configurations:
        works = [work for work in everything if work.configuration == configuration.name]
        if works and configuration.previous_stage is not None:
            if only is None and not is_predicted(folder, plan.configuration(configuration.previous_stage)):
                watch.say(
                    f"{configuration.name} waits for predictions of {configuration.previous_stage}: "
                    "`hemoseg validate --run DIR`, then train again"
                )
                continue
            if ranks.is_first:
                add_previous(folder, plan, configuration)
        if manner.parallel_folds > 1 and works:  # one that is left, too: with its share of threads it ends the same
            at_once = min(manner.parallel_folds, len(works))
            train_folds(folder, configuration, list(map(settle, works)), train_fold, at_once=at_once, watch=watch)
            continue
        for work in works:
            _train_one(folder, plan, settle(work), device=settings.device, watch=watch, ranks=ranks)


def _works(
    folder: RunFolder,
    settings: Settings,
    networks: list[tuple[Configuration, int]],
    starts: dict[tuple[str, int], Path],
    *,
    threads: int,
    folds: Counter[str],
    manner: Manner,
) -> list[FoldWork]:
    """What is to be done for every network that is not trained yet; `folds` counts those of each configuration."""
    from hemoseg.training import Choices

    return [
        FoldWork(
            run=folder.path,
            configuration=item.name,
            fold=fold,
            threads=max(1, threads // min(manner.parallel_folds, folds[item.name])),
            choices=Choices(
                fold=fold,
                patience=settings.patience,
                init=starts.get((item.name, fold)),
                tensorboard=manner.tensorboard,
            ),
        )
        for item, fold in networks
    ]


def missing_of(folder: RunFolder, networks: Iterable[tuple[Configuration, int]]) -> list[tuple[Configuration, int]]:
    """Those of networks, each a configuration and a fold, that are not trained yet."""
    return [(item, fold) for item, fold in networks if not folder.weights(item.name, fold).exists()]


def check_ranks(missing: Iterable[tuple[Configuration, int]], ranks: "Ranks", *, at_once: int) -> None:
    """Make sure that processes can train together what is missing; every one of them finds the same.

    Raises:
        SettingsError: a batch has fewer patches than there are ranks, or folds are to be trained at the same time.
    """
    ranks.check_folds(at_once)
    for configuration, _ in missing:
        ranks.check_batch(configuration.batch_size, where=f"configuration {configuration.name}")


def train_fold(work: FoldWork) -> HemosegError | None:
    """Train one fold in a process of its own; what went wrong is returned."""
    from hemoseg.nets import use_threads
    from hemoseg.training import ALONE

    folder = RunFolder(work.run)
    use_threads(work.threads)
    try:
        _train_one(
            folder,
            folder.plan(),
            work,
            device=folder.settings().device,
            watch=Silent(),
            ranks=ALONE,
            asked=lambda: SIGINT if folder.stop_file.exists() else None,
            may_start_processes=False,
        )
    except HemosegError as error:
        return error
    except Exception as error:  # returned too, for an executor would end the other folds
        return named_failure(work.name, error, folder.workers_log)
    return None


def _check_cases(folder: RunFolder, plan: Plan, networks: list[tuple[Configuration, int]]) -> None:
    """Compare every prepared case that the networks train on with its hashes, once and before hours of training.

    Raises:
        ArtifactError: one is absent, damaged or of another plan.
    """
    splits = folder.splits()
    used = {
        (folder.store(configuration) / name, grid_digest(plan, configuration))
        for configuration, fold in networks
        for name in (*splits.train[fold], *(splits.held_out[fold] if plan.recipe.validation_batches else ()))
    }
    for case, digest in sorted(used):
        check_case(case, plan_sha256=digest)


def _train_one(
    folder: RunFolder,
    plan: Plan,
    work: FoldWork,
    *,
    device: str,
    watch: Watch,
    ranks: "Ranks",
    asked: Callable[[], int | None] = lambda: None,
    may_start_processes: bool = True,
) -> None:
    """Train one fold.

    Args:
        folder: the run.
        plan: the plan.
        work: the fold.
        device: `cpu` or `cuda`.
        watch: told of the steps.
        ranks: the processes that train it together.
        asked: the signal that asks to stop, where it may come from elsewhere than to this process; else None.
        may_start_processes: whether other processes may prepare batches.
    """
    from hemoseg.training import Progress, train
    from hemoseg.training.loader import Loader, default_workers

    configuration, fold = plan.configuration(work.configuration), work.fold
    ranks.wait()
    watch.begin(f"train {work.name}", configuration.iterations)

    def tell(progress: Progress) -> None:
        watch.advance(progress.iteration, progress.text)

    drawn = time.monotonic()

    def draw() -> None:
        nonlocal drawn
        if ranks.is_first and time.monotonic() - drawn > DRAW_EVERY_S:
            write_curves(folder, configuration.name, fold)
            drawn = time.monotonic()

    source = ranks.share(_source(folder, plan, configuration, fold))
    workers = ranks.workers(default_workers(plan.recipe, device, iterations=configuration.iterations))
    with held_signals() as held, Loader(source, workers=workers if may_start_processes else 0) as batches:
        train(
            folder.fold(configuration.name, fold),
            plan,
            configuration,
            batches,
            plan_sha256=digest_of(plan),
            device=device,
            layout=folder.device().layout,
            watch=tell,
            stop=lambda: held() or asked(),
            choices=work.choices,
            ranks=ranks,
            after_epoch=draw,
        )
    if ranks.is_first:
        write_curves(folder, configuration.name, fold)


def _source(folder: RunFolder, plan: Plan, configuration: Configuration, fold: int) -> PartedSource:
    """What the training of a fold is fed with, by the plan's recipe."""
    from hemoseg.training.augment import AugmentedSource, DoubtedSource

    store, digest = folder.store(configuration), grid_digest(plan, configuration)
    cascade = configuration.previous_stage is not None

    def opened(names: tuple[str, ...]) -> list[StoredCase]:
        return [open_case(store / name, plan_sha256=digest, with_previous=cascade) for name in names]

    splits = folder.splits()
    held_out = opened(splits.held_out[fold]) if plan.recipe.validation_batches else []
    if plan.recipe.name == "nnunet":
        return AugmentedSource(opened(splits.train[fold]), plan, configuration, fold=fold, held_out=held_out)
    sampler = Sampler(opened(splits.train[fold]), plan, configuration, fold=fold, held_out=held_out)
    return DoubtedSource(sampler=sampler) if cascade else sampler
