"""The engine that a model's networks run on: the fastest that gives the test patch's logits on this machine."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from hemoseg import __version__
from hemoseg.artifacts import write_json
from hemoseg.errors import HemosegError, ResourceError, SettingsError
from hemoseg.inference.agreement import REFERENCE, deviation, processor, telling
from hemoseg.inference.engines.choice import REVISION, TOLERANCE, Engine, load_network
from hemoseg.inference.sliding import Network
from hemoseg.models import Bundle, sampled
from hemoseg.plan import Configuration

LEAST_GAIN = 1.2
"""Times that bf16 must be faster than float32 to be used: one patch is timed, and float32 is the more exact."""


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
    """The networks of a configuration on the first of the engines that works, or a faster precision of the same.

    An engine works if it loads and runs, and its logits of the bundle's test patch are near the reference's. They are
    computed once per bundle, engine, version and machine: what was found stays in the user's cache folder, as a patch
    of a large network takes seconds. Of two precisions on one library, bf16 comes first if it took
    clearly less time for the patch, else float32. A bundle without a patch is taken at its word.

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
    for engine in _faster_first(bundle, configuration, engines):
        try:
            network = load_network(bundle.plan, configuration, first, engine=engine)
            found = _trial(bundle, configuration, engine, network).deviation
        except (ImportError, RuntimeError, SettingsError) as error:
            if len({one.kind for one in engines}) == 1 and isinstance(error, HemosegError):
                raise
            passed.append(f"{engine.name} does not work here: {_one_line(error)}")
            continue
        if found > TOLERANCE:
            passed.append(f"{engine.name} gives wrong logits here: {found:.2g} off, at most {TOLERANCE:g}")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """What the test patch showed of an engine on this machine."""

    deviation: float
    """How far its logits are off."""
    cpu_s: float
    """Seconds of CPU that it took, which tell more than those on the wall where others compute too."""


def _faster_first(bundle: Bundle, configuration: Configuration, engines: Sequence[Engine]) -> list[Engine]:
    """The same engines; of two precisions of the first library, the faster one first: bf16 if it gains enough.

    What does not run here keeps its place: whoever comes to it says so.
    """
    rivals = [engine for engine in engines if engine.kind == engines[0].kind]
    if len(rivals) < 2 or bundle.agreement is None:
        return list(engines)
    seconds = []
    for engine in rivals:
        try:
            used = _cpu_seconds(bundle, configuration, engine)
        except (ImportError, RuntimeError, SettingsError):
            return list(engines)
        seconds.append(used * LEAST_GAIN if engine.precision == "bf16" else used)
    ordered = [engine for _, engine in sorted(zip(seconds, rivals, strict=True), key=lambda pair: pair[0])]
    return [*ordered, *(engine for engine in engines if engine not in rivals)]


def _cpu_seconds(bundle: Bundle, configuration: Configuration, engine: Engine) -> float:
    """What the test patch takes; a network that is loaded for it is gone afterwards, with its memory."""
    known = _remembered(bundle, configuration, engine)
    if known is not None:
        return known.cpu_s
    network = load_network(bundle.plan, configuration, bundle.weights(configuration)[0], engine=engine)
    return _trial(bundle, configuration, engine, network, timed=True).cpu_s


def _trial(
    bundle: Bundle, configuration: Configuration, engine: Engine, network: Network, *, timed: bool = False
) -> _Trial:
    """What the patch shows of an engine, from the cache if it ran there before; the reference runs only to be timed."""
    if bundle.agreement is None or (engine.name == REFERENCE.name and not timed):
        return _Trial(deviation=0.0, cpu_s=0.0)
    known = _remembered(bundle, configuration, engine)
    if known is not None:
        return known
    patch = bundle.test_patch(configuration.name)
    began = time.process_time()
    logits = network(patch.channels[np.newaxis].astype(np.float32))[0]
    used_s, has_regions = time.process_time() - began, bool(bundle.plan.regions)
    ours, expected = (telling(one, has_regions=has_regions) for one in (sampled(logits), patch.logits))
    found = _Trial(deviation=deviation(ours, expected), cpu_s=used_s)
    place = _place(bundle, configuration, engine)
    if place is not None and np.isfinite(found.deviation):
        _remember(place, found)
    return found


def _remembered(bundle: Bundle, configuration: Configuration, engine: Engine) -> _Trial | None:
    place = _place(bundle, configuration, engine)
    return None if place is None else _read(place)


def _place(bundle: Bundle, configuration: Configuration, engine: Engine) -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / f"{_key(bundle, configuration, engine)}.json"


def _key(bundle: Bundle, configuration: Configuration, engine: Engine) -> str:
    """A name for one engine on one machine with one model."""
    try:
        release = version(engine.kind)
    except PackageNotFoundError:
        release = ""
    ours = [engine.name, REVISION, __version__]
    parts = [bundle.sha256, configuration.name, *ours, release, processor(), sys.platform]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(place: Path) -> _Trial | None:
    try:
        known = json.loads(place.read_text(encoding="utf-8"))
        found = _Trial(deviation=float(known["deviation"]), cpu_s=float(known["cpu_s"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return found if np.isfinite([found.deviation, found.cpu_s]).all() else None


def _remember(place: Path, found: _Trial) -> None:
    """Note what was found; where that cannot be, it is computed again the next time."""
    try:
        write_json(place, asdict(found))
    except (OSError, HemosegError):
        return


def _one_line(error: Exception) -> str:
    text = error.found if isinstance(error, HemosegError) else str(error) or type(error).__name__
    return " ".join(text.split())[:200]
