"""Weights that a training begins with, of a model that is there."""

from pathlib import Path

from hemoseg.artifacts import readable, sha256_of
from hemoseg.errors import ArtifactError, SettingsError
from hemoseg.models import open_bundle, weights_name
from hemoseg.pipeline.out_of_fold import jobs
from hemoseg.pipeline.watch import Silent, Watch
from hemoseg.plan import Configuration, Plan
from hemoseg.settings import Settings


def find_starts(
    plan: Plan, settings: Settings, networks: list[tuple[Configuration, int]], watch: Watch
) -> dict[tuple[str, int], Path]:
    """{(configuration, fold): weights to begin with} of every network; empty where none are asked for.

    Each is tried before any training begins, and the watch is told what of it is not taken.

    Raises:
        SettingsError: the weights changed since they were named, are of another network, or none.
        ArtifactError: they are damaged.
    """
    from hemoseg.nets import build_network
    from hemoseg.nets.weights import take_weights

    if settings.init is None or not networks:
        return {}
    source = _unchanged(Path(settings.init), settings)
    starts, tried = {}, set()
    for configuration, fold in networks:
        path = _weights(source, configuration, fold) if source.is_dir() else source
        starts[configuration.name, fold] = path
        if (configuration.name, path) not in tried:
            tried.add((configuration.name, path))
            left = take_weights(build_network(plan, configuration), path)
            watch.say(f"{configuration.name} begins with {path}; drawn anew: {', '.join(left) or 'nothing'}")
    return starts


def check_start(settings: Settings) -> None:
    """Make sure that what a run is to begin with is a model or weights, before anything is measured for it.

    Raises:
        SettingsError: it is absent, or neither.
    """
    from hemoseg.nets.weights import read_start

    if settings.init is None:
        return
    source = _unchanged(Path(settings.init), settings)
    try:
        if source.is_dir():
            open_bundle(source)
        else:
            read_start(source)
    except ArtifactError as error:
        raise _refused(source, error.found, "name a model's folder, or a file of weights in it") from error


def check_starts(plan: Plan, settings: Settings) -> None:
    """Make sure that every network of a plan can begin with what is asked for, as training will.

    Raises:
        SettingsError: the weights changed since they were named, or are of another network.
    """
    find_starts(plan, settings, list(jobs(plan, settings)), Silent())


def _unchanged(source: Path, settings: Settings) -> Path:
    """The source, if its content is what it was when it was named."""
    with readable(source):
        content = source / "manifest.json" if source.is_dir() else source
        unchanged = content.is_file() and sha256_of(content) == settings.init_sha256
    if not unchanged:
        raise _refused(source, "absent, or another content than when the run was begun", "use a new --run folder")
    return source


def _weights(bundle: Path, configuration: Configuration, fold: int) -> Path:
    """A bundle's weights of a configuration: of the same fold, or of its first one."""
    folds = open_bundle(bundle).selection.folds.get(configuration.name)
    if folds is None:
        raise _refused(bundle, f"the model has no {configuration.name}", "choose its kind of network with --config")
    return bundle / weights_name(configuration.name, fold if fold in folds else folds[0])


def _refused(source: Path, found: str, remedy: str) -> SettingsError:
    return SettingsError(found, where=source, expected="weights for every network of the plan", remedy=remedy)
