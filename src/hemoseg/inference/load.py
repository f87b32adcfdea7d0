"""From a bundle to a model at work."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from hemoseg.errors import SettingsError
from hemoseg.inference.engines.choice import Engine, EngineChoice, candidates, load_network
from hemoseg.inference.findings import NO_EXTRAS, Extras
from hemoseg.inference.limits import NO_LIMITS, Limits
from hemoseg.inference.predictor import Model, Stage
from hemoseg.inference.trust import trusted_networks
from hemoseg.models import Bundle, find_bundle, open_bundle
from hemoseg.plan import Configuration, Plan
from hemoseg.postprocess import FEWEST_VOTERS
from hemoseg.segmentation import ModelIdentity


def load_model(
    model: str | Path | None = None,
    *,
    device: str = "cpu",
    models: Path | None = None,
    exact: bool = False,
    engine: EngineChoice = "auto",
    extras: Extras = NO_EXTRAS,
    limits: Limits = NO_LIMITS,
    threads: int | None = None,
) -> Model:
    """Load a model bundle, by default the one that comes with hemoseg.

    Args:
        model: name of an embedded model, or a bundle's folder; None for the default.
        device: `cpu` or `cuda`.
        models: a folder of bundles in which names are looked up first.
        exact: whether everything is as nnU-Net does it: networks in float32, the whole field, every tile and
            mirroring, sums in float16, no rules after the networks.
        engine: what runs the networks: `openvino`, `torch`, or `auto` for OpenVINO on a CPU and torch on CUDA.
            Exact results come from torch.
        extras: what is asked for beyond the mask.
        limits: what each scan may take.
        threads: threads that networks compute with on a CPU; None for as many as there are CPUs.

    Raises:
        InputError: there is no such model.
        SettingsError: `exact` with a model whose preparation is not nnU-Net's, or with a time budget;
            what `extras` asks for cannot be had of it; OpenVINO with `exact` or CUDA; or torch is needed and not
            installed.
        ArtifactError: a file of the bundle is damaged.
        ResourceError: the device is not there, or no engine gives the right logits of the bundle's test patch.
    """
    bundle = open_bundle(find_bundle(model, models=models))
    check_possible(bundle, exact=exact, extras=extras, limits=limits)
    run_on = partial(_engines, bundle, device=device, exact=exact, threads=threads, limits=limits)
    runs = [trusted_networks(bundle, one, run_on(one, engine)) for one in bundle.stages]
    stages = tuple(
        Stage(configuration=_at(configuration, run.engine), networks=run.networks)
        for configuration, run in zip(bundle.stages, runs, strict=True)
    )
    return Model(
        bundle.plan,
        stages,
        _identity(bundle, [run.engine.name for run in runs]),
        mirror=bundle.selection.mirror,
        averaged=bundle.selection.configurations,
        postprocessing=() if exact else bundle.selection.postprocessing,
        warnings=(*bundle.manifest.warnings, *dict.fromkeys(text for run in runs for text in run.warnings)),
        exact=exact,
        calibration=bundle.calibration,
        extras=extras,
        limits=limits,
    )


def check_possible(bundle: Bundle, *, exact: bool, extras: Extras, limits: Limits) -> None:
    """Make sure, without loading anything, that a model can do what is asked; arguments as those of `load_model`.

    Raises:
        SettingsError: it cannot.
    """
    _check_members(bundle, extras, exact=exact)
    if exact:
        _check_has_time(limits)
        _check_is_nnunets(bundle)


def _identity(bundle: Bundle, engines: list[str]) -> ModelIdentity:
    """Which model this is, and what runs its networks."""
    return ModelIdentity(
        name=bundle.manifest.name,
        version=bundle.manifest.model_version,
        sha256=bundle.sha256,
        notice=bundle.manifest.notice,
        engine=", ".join(dict.fromkeys(engines)),
    )


def _engines(
    bundle: Bundle,
    configuration: Configuration,
    choice: EngineChoice,
    *,
    device: str,
    exact: bool,
    threads: int | None,
    limits: Limits,
) -> list[Engine]:
    """The engines that may run the networks of a configuration, the one to be preferred first."""
    agreement = bundle.agreement
    found = candidates(
        configuration,
        choice,
        device=device,
        exact=exact,
        measured=lambda name: None if agreement is None else agreement.deviation(configuration.name, name),
    )
    return [replace(one, threads=threads, lean=limits.max_memory_gb is not None) for one in found]


def load_stage(plan: Plan, configuration: Configuration, weights: list[Path], *, engine: Engine) -> Stage:
    """The networks of one configuration, one per weight file."""
    networks = tuple(load_network(plan, configuration, path, engine=engine) for path in weights)
    return Stage(configuration=_at(configuration, engine), networks=networks)


def _at(configuration: Configuration, engine: Engine) -> Configuration:
    """The configuration in the arithmetic of what runs it, on which its memory depends."""
    return configuration.model_copy(update={"precision": engine.precision})


def _check_is_nnunets(bundle: Bundle) -> None:
    if bundle.plan.nnunet is None or bundle.plan.preparation.orientation == "canonical":
        raise SettingsError(
            f"--exact with {bundle.manifest.name}, which nnU-Net cannot prepare scans for",
            where="--exact",
            expected="a model that was planned by nnU-Net's rules, or imported from nnU-Net",
            remedy="leave out --exact",
        )


def _check_members(bundle: Bundle, extras: Extras, *, exact: bool) -> None:
    """What is asked of members must be possible.

    Raises:
        SettingsError: it is not.
    """
    if exact and (extras.low_vote or extras.average != "logits"):
        asked = "--low-vote" if extras.low_vote else f"--average {extras.average}"
        raise SettingsError(
            f"--exact with {asked}",
            where="--exact",
            expected="averages of logits, as nnU-Net makes them",
            remedy=f"leave out one of the two, {asked} or --exact",
        )
    members = 0
    for configuration in map(bundle.plan.configuration, bundle.selection.configurations):
        copies = 1 << len(configuration.mirror_axes) if bundle.selection.mirror else 1
        members += copies * len(bundle.selection.folds[configuration.name])
    if extras.low_vote and members < FEWEST_VOTERS:
        raise SettingsError(
            f"--low-vote with {bundle.manifest.name}, whose average has {members} members",
            where="--low-vote",
            expected=f"at least {FEWEST_VOTERS} networks or mirrored copies: of fewer, two votes are half",
            remedy="a model of more folds or configurations, or leave out --low-vote",
        )


def _check_has_time(limits: Limits) -> None:
    if limits.time_budget_s is not None:
        raise SettingsError(
            "--exact together with --time-budget",
            where="--time-budget",
            expected="one of them: exact results come from all tiles, mirrorings and folds",
            remedy="leave out either",
        )
