"""A model bundle with untrained networks, for tests of what surrounds them."""

from collections.abc import Callable
from pathlib import Path

from hemoseg.models import Calibration, Measured, Selection, weights_name, write_bundle
from hemoseg.nets import build_network
from hemoseg.nets.stored import half_weights
from hemoseg.nets.weights import write_weights
from hemoseg.plan import Plan
from hemoseg.postprocess import Rule
from plans import tiny_plan


def write_tiny_bundle(
    folder: Path,
    *,
    plan: Plan | None = None,
    folds: tuple[int, ...] = (0,),
    calibration: Calibration | None = None,
    rules: tuple[Rule, ...] = (),
    measure: Callable[[Plan, dict[str, Path]], Measured | None] | None = None,
) -> Path:
    """A bundle whose networks have drawn, untrained weights."""
    plan = plan or tiny_plan()
    weights = {}
    for configuration in plan.configurations:
        for fold in folds:
            path = folder.with_name("weights.safetensors")
            write_weights(
                path, build_network(plan.model_copy(update={"seed": fold}), configuration), plan_sha256="test"
            )
            weights[weights_name(configuration.name, fold)] = half_weights(path)
    write_bundle(
        folder,
        name="tiny",
        model_version="1",
        notice="Untrained. Research use only.",
        plan=plan,
        selection=Selection(
            configurations=(plan.configurations[-1].name,),
            folds={configuration.name: folds for configuration in plan.configurations},
            mirror=True,
            postprocessing=rules,
            reason="test",
        ),
        card="# tiny\n",
        license_text="none\n",
        weights=weights.items(),
        calibration=calibration,
        measure=measure,
    )
    return folder
