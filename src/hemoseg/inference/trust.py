"""The engine that a model's networks run on: the first that gives the test patch's logits on this machine."""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from hemoseg import __version__
from hemoseg.artifacts import write_json
from hemoseg.errors import HemosegError, ResourceError, SettingsError
from hemoseg.inference.agreement import REFERENCE, deviation, processor
from hemoseg.inference.engines.choice import Engine, load_network
from hemoseg.inference.sliding import Network
from hemoseg.models import Bundle, sampled
from hemoseg.plan import Configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """The networks of a configuration on an engine that gives the right logits."""

    engine: Engine
    """The engine."""
    networks: tuple[Network, ...]
    """One per fold."""
    warnings: tuple[str, ...]
    """Which engines were passed over, and why."""


def trusted_networks(bundle: Bundle, configuration: Configuration, engines: Sequence[Engine]) -> Trusted:
    """The networks of a configuration on the first of the engines that works.

    An engine works if it loads and runs, and its logits of the bundle's test patch are within its tolerance. They are
    computed once per bundle, engine, version and machine: what was found stays in the user's cache folder, as a patch
    of a large network takes seconds. A bundle without a patch is taken at its word.

    Args:
        bundle: the model.
        configuration: one of its configurations.
        engines: what may be used, the one to be preferred first.

    Raises:
        ArtifactError: weights or test patch are damaged.
        SettingsError: torch is the only choice and not installed.
        ResourceError: the device is not there, or no engine works.
    """
    first, *others = bundle.weights(configuration)
    passed: list[str] = []
    for engine in engines:
        try:
            network = load_network(bundle.plan, configuration, first, engine=engine)
            found = _deviation_here(bundle, configuration, engine, network)
        except (ImportError, RuntimeError, SettingsError) as error:
            if len(engines) == 1 and isinstance(error, HemosegError):
                raise
            passed.append(f"{engine.name} does not work here: {_one_line(error)}")
            continue
        if found > engine.tolerance:
            passed.append(f"{engine.name} gives wrong logits here: {found:.2g} off, at most {engine.tolerance:g}")
            continue
        rest = [load_network(bundle.plan, configuration, path, engine=engine) for path in others]
        return Trusted(
            engine=engine,
            networks=(network, *rest),
            warnings=tuple(f"engine {text}; {engine.name} was used instead" for text in passed),
        )
    raise ResourceError(
        "; ".join(passed),
        where=f"{bundle.manifest.name}, {configuration.name}",
        expected="an engine whose logits of the bundle's test patch are those of torch in float32",
        remedy='pip install "hemoseg[train]" for the torch engine, or another version of openvino',
    )


def cache_folder() -> Path | None:
    """Where the system wants this user's files that can be made again; None if it names no such place."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "hemoseg" / "engines"


def _deviation_here(bundle: Bundle, configuration: Configuration, engine: Engine, network: Network) -> float:
    """How far the engine is off on this machine, from the cache if it was measured before."""
    if bundle.agreement is None or engine.name == REFERENCE.name:
        return 0.0
    folder = cache_folder()
    place = None if folder is None else folder / f"{_key(bundle, configuration, engine)}.json"
    known = None if place is None else _read(place)
    if known is not None:
        return known
    patch = bundle.test_patch(configuration.name)
    found = deviation(sampled(network(patch.channels[np.newaxis].astype(np.float32))[0]), patch.logits)
    if place is not None and np.isfinite(found):
        _remember(place, found)
    return found


def _key(bundle: Bundle, configuration: Configuration, engine: Engine) -> str:
    """A name for one engine on one machine with one model."""
    try:
        release = version(engine.kind)
    except PackageNotFoundError:
        release = ""
    parts = [bundle.sha256, configuration.name, engine.name, release, __version__, processor(), sys.platform]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(place: Path) -> float | None:
    try:
        return float(json.loads(place.read_text(encoding="utf-8"))["deviation"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(place: Path, found: float) -> None:
    """Note what was found; where that cannot be, it is computed again the next time."""
    try:
        write_json(place, {"deviation": found})
    except (OSError, HemosegError):
        return


def _one_line(error: Exception) -> str:
    text = error.found if isinstance(error, HemosegError) else str(error) or type(error).__name__
    return " ".join(text.split())[:200]
