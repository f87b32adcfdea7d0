"""A model bundle at work: one scan in, its segmentation out."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemoseg.errors import SettingsError
from hemoseg.geometry import Volume
from hemoseg.inference.engines.torch_engine import TorchNetwork, check_device
from hemoseg.inference.half import predict_half_logits
from hemoseg.inference.sliding import Network, predict_logits
from hemoseg.models import Bundle, find_bundle, open_bundle
from hemoseg.plan import Configuration, Plan
from hemoseg.preprocess import Prepared, network_channels, outside_values, prepare, prepare_labels, restore
from hemoseg.segmentation import ModelIdentity, Segmentation
from hemoseg.types import LabelMap, NewStack
from hemoseg.windows import one_hot

THICK_MM = 7.5
"""Slice interval beyond which a warning is due: no training data of usual head CT are thicker."""


def _unwatched(_done: int, _total: int) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The networks of one configuration."""

    configuration: Configuration
    """What they see."""
    networks: tuple[Network, ...]
    """One per fold."""


class Model:
    """Networks of one plan, averaged; a cascade runs its previous stage first."""

    def __init__(
        self,
        plan: Plan,
        stages: tuple[Stage, ...],
        identity: ModelIdentity,
        *,
        mirror: bool,
        warnings: tuple[str, ...] = (),
        exact: bool = False,
    ) -> None:
        self.plan = plan
        self.stages = stages
        self.identity = identity
        self.mirror = mirror
        self.warnings = warnings
        self.exact = exact

    def segment(
        self,
        volume: Volume,
        *,
        previous: LabelMap | None = None,
        watch: Callable[[int, int], None] = _unwatched,
    ) -> Segmentation:
        """Segment one scan.

        Args:
            volume: the scan, HU on its own grid.
            previous: the previous stage's label map on the scan's grid, if it is known already.
            watch: told (tiles done, tiles in all) of each stage.

        Returns:
            The label map on the scan's grid, with seconds spent in `prepare`, `network`, `restore`.
        """
        seconds = {"prepare": 0.0, "network": 0.0, "restore": 0.0}
        labels = previous
        for stage in self.stages:
            labels = self._run(stage, volume, labels, seconds, watch)
        assert labels is not None
        return Segmentation(
            labels=labels,
            table=self.plan.table,
            volume=volume,
            model=self.identity,
            warnings=(*self.warnings, *_doubts(volume, self.plan)),
            seconds=seconds,
        )

    def _run(
        self,
        stage: Stage,
        volume: Volume,
        previous: LabelMap | None,
        seconds: dict[str, float],
        watch: Callable[[int, int], None],
    ) -> LabelMap:
        configuration = stage.configuration
        began = time.monotonic()
        prepared = prepare(volume, self.plan.preparation, configuration.spacing_mm)
        channels = self._channels(configuration, prepared, previous)
        ready = time.monotonic()
        outside = outside_values(self.plan.preparation)
        predict = predict_half_logits if self.exact else predict_logits
        logits = predict(
            channels,
            stage.networks,
            tile=configuration.patch_size,
            classes=self.plan.outputs,
            mirror_axes=configuration.mirror_axes if self.mirror else (),
            outside=[*outside, *[0.0] * (len(channels) - len(outside))],
            watch=watch,
        )
        predicted = time.monotonic()
        labels = restore(logits, prepared, self.plan.regions)
        seconds["prepare"] += ready - began
        seconds["network"] += predicted - ready
        seconds["restore"] += time.monotonic() - predicted
        return labels

    def _channels(self, configuration: Configuration, prepared: Prepared, previous: LabelMap | None) -> NewStack:
        channels = network_channels(prepared.image, self.plan.preparation)
        if configuration.previous_stage is None:
            return channels
        assert previous is not None
        classes = one_hot(prepare_labels(previous, prepared), self.plan.table.largest + 1)
        return np.concatenate([channels, classes])


def load_model(
    model: str | Path | None = None, *, device: str = "cpu", models: Path | None = None, exact: bool = False
) -> Model:
    """Load a model bundle, by default the one that comes with hemoseg.

    Args:
        model: name of an embedded model, or a bundle's folder; None for the default.
        device: `cpu` or `cuda`.
        models: a folder of bundles in which names are looked up first.
        exact: whether everything is as nnU-Net does it: networks in float32, the whole field, every tile and
            mirroring, sums in float16.

    Raises:
        InputError: there is no such model.
        SettingsError: `exact` with a model whose preparation is not nnU-Net's.
        ArtifactError: a file of the bundle is damaged.
        ResourceError: the device is not there.
    """
    check_device(device)
    bundle = open_bundle(find_bundle(model, models=models))
    if exact:
        _check_is_nnunets(bundle)
    chosen = bundle.plan.configuration(bundle.selection.configuration)
    order = [name for name in (chosen.previous_stage, chosen.name) if name is not None]
    identity = ModelIdentity(
        name=bundle.manifest.name,
        version=bundle.manifest.model_version,
        sha256=bundle.sha256,
        notice=bundle.manifest.notice,
    )
    stages = tuple(
        load_stage(bundle.plan, _in_full(configuration, exact), bundle.weights(configuration), device=device)
        for configuration in map(bundle.plan.configuration, order)
    )
    mirror, warnings = bundle.selection.mirror, bundle.manifest.warnings
    return Model(bundle.plan, stages, identity, mirror=mirror, warnings=warnings, exact=exact)


def load_stage(plan: Plan, configuration: Configuration, weights: list[Path], *, device: str) -> Stage:
    """The networks of one configuration, one per weight file."""
    networks = tuple(TorchNetwork(plan, configuration, path, device=device) for path in weights)
    return Stage(configuration=configuration, networks=networks)


def _in_full(configuration: Configuration, exact: bool) -> Configuration:
    return configuration.model_copy(update={"precision": "fp32"}) if exact else configuration


def _check_is_nnunets(bundle: Bundle) -> None:
    if bundle.plan.nnunet is None or bundle.plan.preparation.orientation != "as-stored":
        raise SettingsError(
            f"--exact with {bundle.manifest.name}, which nnU-Net cannot prepare scans for",
            where="--exact",
            expected="a model that was planned by nnU-Net's rules, or imported from nnU-Net",
            remedy="leave out --exact",
        )


def _doubts(volume: Volume, plan: Plan) -> tuple[str, ...]:
    found = list(plan.table.warnings())
    if volume.grid.slice_interval_mm > THICK_MM:
        found.append(f"slices are {volume.grid.slice_interval_mm:.1f} mm apart; small bleeds fall between them")
    return tuple(found)
