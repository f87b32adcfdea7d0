"""Why the values of a published system are what they are, and which of them its paper does not print."""

from collections.abc import Sequence

from hemoseg.plan import Basis, Plan, PresetName, Reason
from hemoseg.planning.channels import listed
from hemoseg.planning.reasons import PAPER, because

FIGURE = "docs/explanation/planning.md: gray values of the paper's own picture"
SCRIPTS = "public 3D U-Net scripts whose parameter names the paper uses (slice_down_scale, expand_slice)"
PRINTED = {
    "spacing_mm": "median spacing, the tenth percentile along an anisotropic axis: printed",
    "nonzero_crop": "crop by the non-zero mask: printed",
    "resampling": "cubic in plane and the nearest slice along z where anisotropic: printed",
    "iterations": "1000 epochs of 250 batches: printed",
    "patch_size": "from the median shape, reduced until two patches fit the memory: printed; the memory is not",
    "batch_size": "at least 2: printed",
    "strides": "axes within a factor 2 are pooled, none below 4 voxels: printed",
    "features": "32, doubled at each stage up to 320: printed",
}
"""What of nnU-Net's decisions the paper prints, by the last part of the reason's name."""
ASSUMED = {
    "transpose": "nnU-Net's",
    "normalization": "z-score of each image: nnU-Net's for channels that are not named CT; the name is not printed",
    "masked": "nnU-Net's",
    "configurations": "nnU-Net's",
    "trained": "one 3-D network at full resolution; cascades and ensembles are not mentioned",
    "memory_gb": "nnU-Net's target of 8 GB",
}
"""What it does not print, and what stands in for it."""


def preset_reasons(plan: Plan, preset: PresetName) -> tuple[Reason, ...]:
    """Reasons of the paper's steps, and nnU-Net's with what the paper says of them."""
    return (*_step_reasons(plan, preset), *_training_reasons(plan), *(_reread(reason) for reason in plan.reasons))


def _step_reasons(plan: Plan, preset: PresetName) -> list[Reason]:
    windows = listed(plan.preparation.windows)
    if preset == "paper":
        window = _printed("windows", windows, "width 59 and center 96 as printed")
    else:
        why = "width 96 and center 59: the two printed numbers exchanged, which the paper's picture agrees with"
        window = _assumed("windows", windows, why, source=FIGURE)
    pooling, slab = plan.preparation.pooling, plan.preparation.slab
    assert pooling is not None
    assert slab is not None
    return [
        _assumed("preset", preset, "nnU-Net v2 and its default planner: no version is printed"),
        _assumed("orientation", plan.preparation.orientation, "the steps act on slices, so axes must be known"),
        window,
        _assumed("windowed", "first, to [0, 1]", "clamped to “a certain standard interval”, which is not printed"),
        _assumed("pooling.kind", pooling.kind, "four kinds are listed, the one used is not named"),
        _assumed(
            "pooling.factor", str(pooling.factor), "x and y are downsampled, by what is not printed", source=SCRIPTS
        ),
        _assumed(
            "slice_spacing_mm",
            f"{plan.preparation.slice_spacing_mm:g}",
            "slices are brought to “Slice_down_scale”, whose value is not printed",
            source=SCRIPTS,
        ),
        _printed("slab.extend", str(slab.extend), "slices are extended one level out"),
        _assumed(
            "slab.train_range",
            slab.train_range,
            "the range that is extended is not printed; labels are not known in prediction, the head is",
        ),
    ]


def _training_reasons(plan: Plan) -> list[Reason]:
    recipe, item = plan.recipe, plan.trained_configurations[0]
    return [
        _printed("learning_rate", f"{recipe.learning_rate:g}", "0.01, falling as a polynomial"),
        _printed("momentum", f"{recipe.momentum:g}", "Nesterov, 0.99"),
        _printed("forced_foreground", f"{recipe.forced_foreground:g}", "33.3 % of patches, at least one"),
        _assumed("weight_decay, clip_norm", f"{recipe.weight_decay:g}, {recipe.clip_norm:g}", "nnU-Net's"),
        _assumed("mirror_axes", str(item.mirror_axes), "mirroring is printed, its axes are not: nnU-Net's"),
        _assumed("batch_dice", str(item.batch_dice), "nnU-Net's"),
        _assumed("precision", item.precision, "what the device computes natively"),
        _assumed("seed, folds", str(plan.seed), "30 patients were trained on; splits and seeds are not printed"),
    ]


def _reread(reason: Reason) -> Reason:
    """One of nnU-Net's reasons with what the paper says of it; what the user gave stays given."""
    last = reason.name.rsplit(".", 1)[-1]
    if reason.basis == "given":
        return reason
    if reason.name != "3d_lowres.spacing_mm" and last in PRINTED:
        return reason.model_copy(update={"why": f"{reason.why} ({PRINTED[last]})", "source": PAPER})
    gap = ASSUMED.get(last, "nnU-Net's; not printed")
    return reason.model_copy(update={"why": f"{reason.why} ({gap})", "basis": "assumed"})


def _printed(name: str, value: str, why: str) -> Reason:
    return because(name, value, why, source=PAPER, basis="rule")


def _assumed(name: str, value: str, why: str, *, source: str = "not printed in the paper") -> Reason:
    basis: Basis = "assumed"
    return because(name, value, why, source=source, basis=basis)


def assumed_names(reasons: Sequence[Reason]) -> tuple[str, ...]:
    """Names of the values that the paper does not print."""
    return tuple(reason.name for reason in reasons if reason.basis == "assumed")
