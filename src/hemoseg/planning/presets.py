"""Why the values of a published system are what they are, and which of them its paper does not print."""

from hemoseg.plan import Plan, PresetName, Reason
from hemoseg.planning.channels import listed
from hemoseg.planning.presteps import LABELS_WHY
from hemoseg.planning.reasons import PAPER, because

GAP = "not in the paper"
FIGURE = "docs/explanation/planning.md: gray values of the paper's own picture"
SCRIPTS = "defaults of public 3D U-Net scripts whose parameter names the paper uses (slice_down_scale, expand_slice)"
PRINTED = {
    "spacing_mm": "the medians, and the tenth percentile along an anisotropic axis",
    "nonzero_crop": "cropping by the nonzero mask",
    "resampling.image": "third-order splines, and nearest neighbors out of plane",
    "normalization": "z-scores with each image's own mean and deviation, but for CT",
    "iterations": "1000 epochs of 250 batches",
    "patch_size": "the patch is reduced until two samples fit, from the median shape",
    "batch_size": "at least 2",
    "strides": "down to 4 voxels, finer axes first, and kernels of 1 out of plane until within a factor 2",
    "features": "32, doubled up to 320",
    "encoder": "the architecture template",
}
"""nnU-Net's decisions that the paper prints, by the end of the reason's name, and what it prints of them."""
DONE_OTHERWISE = (
    "the paper keeps the largest component alone where that raises the Dice of a cross-validation; by default other "
    "rules are tried before it, and it stays only if the gain is beyond chance; `hemoseg select --postprocessing "
    "nnunet` does as nnU-Net",
)
"""What the paper prints and is done otherwise unless it is asked for."""
SAID_ELSEWHERE = ("orientation", "recipe", "configurations", "resampling.labels")
"""nnU-Net's reasons that reasons of the preset replace."""


def preset_plan(plan: Plan, preset: PresetName) -> Plan:
    """nnU-Net's plan as the paper's system: the networks that are trained, and reasons that tell what is printed."""
    configurations = plan.trained_configurations
    dropped = [f"{item.name}." for item in plan.configurations if item.name not in plan.trained]
    kept = [
        _reread(reason)
        for reason in plan.reasons
        if reason.name not in SAID_ELSEWHERE and not any(reason.name.startswith(name) for name in dropped)
    ]
    reasons = (*_step_reasons(plan, preset), *kept, *_training_reasons(plan))
    changes = {
        "preset": preset,
        "configurations": configurations,
        "reasons": reasons,
        "doubts": (*plan.doubts, *DONE_OTHERWISE),
    }
    return plan.model_copy(update=changes)


def _step_reasons(plan: Plan, preset: PresetName) -> list[Reason]:
    windows = listed(plan.preparation.windows)
    if preset == "paper":
        window = _printed("windows", windows, "width 59 and center 96, as printed")
    else:
        why = "width 96 and center 59: the two printed numbers exchanged, which the paper's picture agrees with"
        window = _assumed("windows", windows, why, source=FIGURE)
    pooling, slab = plan.preparation.pooling, plan.preparation.slab
    assert pooling is not None
    assert slab is not None
    return [
        _assumed("planner", plan.planner, "no version of nnU-Net is printed: v2 and its default planner"),
        _assumed("orientation", plan.preparation.orientation, "the steps act on slices, so axes must be known"),
        window,
        _assumed("windowed", "first, to [0, 1]", "clamped to “a certain standard interval”, which is not printed"),
        _assumed(
            "channels.0.source", "no CT", "values in [0, 1] are no HU; how nnU-Net was told of them is not printed"
        ),
        _assumed("pooling.kind", pooling.kind, "four kinds are listed, the one used is not named"),
        _assumed("pooling.factor", str(pooling.factor), "x and y are downsampled, by what is not said", source=SCRIPTS),
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
            "which range is extended is not printed; labels are not known in prediction, the head is",
        ),
        _assumed("resampling.labels", "volumes kept", f"how labels are resampled is not printed: {LABELS_WHY}"),
    ]


def _training_reasons(plan: Plan) -> list[Reason]:
    recipe, item = plan.recipe, plan.trained_configurations[0]
    return [
        _printed("learning_rate", f"{recipe.learning_rate:g}", "0.01, falling as a polynomial"),
        _assumed("learning_rate.exponent", "0.9", "nnU-Net's; the paper prints “poly” alone"),
        _printed("momentum", f"{recipe.momentum:g}", "SGD with Nesterov momentum 0.99"),
        _printed("loss", "Dice + CE", "cross-entropy plus Dice"),
        _printed(
            "deep_supervision", "yes", "every stage of the decoder but the two coarsest, weights falling by stage"
        ),
        _assumed("deep_supervision.weights", "1, 1/2, 1/4, …", "nnU-Net's; “exponential decay” alone is printed"),
        _printed("forced_foreground", f"{recipe.forced_foreground:g}", "33.3 % of patches, at least one"),
        _assumed("weight_decay, clip_norm", f"{recipe.weight_decay:g}, {recipe.clip_norm:g}", "nnU-Net's"),
        _assumed("mirror_axes", str(item.mirror_axes), "mirroring is printed, its axes are not: nnU-Net's"),
        _assumed(
            "augmentation",
            "nnU-Net's table",
            "kinds of augmentation are printed, not each one's chance and range: nnU-Net v2's",
        ),
        _assumed("batch_dice", str(item.batch_dice), "nnU-Net's"),
        _assumed("initialization", "He", "nnU-Net's"),
        _printed("tile_overlap", "1/2", "a sliding window that overlaps by half a patch"),
        _printed("tile_weights", "Gaussian", "the center of a patch weighs more, by a Gaussian"),
        _assumed("tile_weights.sigma", "1/8 of the patch", "nnU-Net's"),
        _assumed("mirrored_prediction", "averaged", "nnU-Net's: over all ways to mirror a patch"),
        _assumed("early_stopping", "no", "named without its rule; nnU-Net v2 trains to the end"),
        _assumed("precision", item.precision, "what the device is faster in"),
        _assumed("seed, folds", str(plan.seed), "splits and seeds are not printed; 30 patients were trained on"),
    ]


def _reread(reason: Reason) -> Reason:
    """One of nnU-Net's reasons with what the paper says of it; what the user gave stays given."""
    if reason.basis == "given":
        return reason
    end = next((end for end in PRINTED if reason.name == end or reason.name.endswith(f".{end}")), None)
    if end is not None:
        return reason.model_copy(update={"why": f"{reason.why}; printed: {PRINTED[end]}", "source": PAPER})
    return reason.model_copy(update={"why": f"{reason.why}; nnU-Net's, not printed", "basis": "assumed"})


def _printed(name: str, value: str, why: str) -> Reason:
    return because(name, value, why, source=PAPER, basis="rule")


def _assumed(name: str, value: str, why: str, *, source: str = GAP) -> Reason:
    return because(name, value, why, source=source, basis="assumed")
