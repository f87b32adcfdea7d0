"""What early stopping can do in a run's schedules, and what it did."""

import json
from math import ceil

from hemoseg.errors import ArtifactError
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.watch import Watch
from hemoseg.plan import Plan
from hemoseg.settings import Settings


def patience_text(plan: Plan, settings: Settings) -> str:
    """Whether `--patience` can end a training early, and from which epoch on; empty where it was not asked for."""
    if settings.patience is None:
        return ""
    from hemoseg.training import LOW_RATE, earliest_stop, learning_rate, shortest_schedule

    recipe, sentences = plan.recipe, []
    for item in plan.trained_configurations:
        epochs = ceil(item.iterations / recipe.epoch_iterations)
        earliest = earliest_stop(recipe, item.iterations, patience=settings.patience)
        if earliest is not None:
            sentences.append(
                f"--patience {settings.patience} can end the training of {item.name} from epoch {earliest:,} of "
                f"{epochs:,} on."
            )
            continue
        rate = learning_rate(recipe, item.iterations - 1, item.iterations)
        shortest = shortest_schedule(recipe, patience=settings.patience)
        why = f"its wait is not over before the last of {epochs:,} epochs"
        if rate > LOW_RATE:
            low = f"a learning rate of {LOW_RATE:g} or less"
            why = f"it waits for {low}, and that of the last of {epochs:,} epochs is {rate:.1e}"
        could = "No plan has as many epochs as that takes."
        if shortest is not None:
            could = f"It could in {shortest:,} epochs or more, from epoch {shortest - 1:,} on."
        sentences.append(f"--patience {settings.patience} cannot end the training of {item.name} early: {why}. {could}")
    return " ".join(sentences)


def say_patience(plan: Plan, settings: Settings, watch: Watch) -> None:
    """Tell the user of it, where it was asked for."""
    if text := patience_text(plan, settings):
        watch.say(text)


def steps_done(folder: RunFolder, plan: Plan, settings: Settings, name: str, folds: tuple[int, ...]) -> tuple[int, ...]:
    """Optimizer steps that each fold of a configuration was trained for: fewer than planned where it stopped early.

    Raises:
        ArtifactError: the log of a training that may have stopped early is damaged or absent.
    """
    planned = plan.configuration(name).iterations
    if settings.patience is None:
        return tuple(planned for _ in folds)
    return tuple(_last_step(folder, name, fold) for fold in folds)


def _last_step(folder: RunFolder, name: str, fold: int) -> int:
    """The step at which the last epoch of a fold ended, by its log."""
    log = folder.fold(name, fold) / "epochs.jsonl"
    try:
        step: int = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["iteration"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ArtifactError(
            f"does not say how many steps were done: {error}",
            where=log,
            expected="one line for each epoch, as training writes it",
            remedy="delete the fold's folder to train it anew",
        ) from error
    return step
