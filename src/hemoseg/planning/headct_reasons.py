"""Why the head-CT planner decides as it does."""

from collections.abc import Sequence

from hemoseg.plan import Configuration, Preparation, Reason, Recipe
from hemoseg.planning.device import DeviceTiming
from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.planning.ladder import (
    ENOUGH_ITERATIONS,
    FINEST_MM,
    FINEST_SLICE_MM,
    LADDER,
    PATCH_SLICES,
    SMALLEST_USUAL,
    USUAL,
    target_spacing,
)
from hemoseg.planning.reasons import NNUNET, OURS, because, given_steps, size_text, spacing_text
from hemoseg.planning.recipes import recipe_reason
from hemoseg.settings import Settings, Steps

MOMENTUM_SOURCE = "hemoseg, benchmarks/momentum.py"
RATE_SOURCE = "hemoseg, benchmarks/study.py"


def size_reason_without_budget(index: int, rung: Sequence[Configuration]) -> Reason:
    value = f"{rung[-1].features[0]} base features, patch {size_text(rung[-1].patch_size)}"
    why = f"without a budget no clock decides: {LADDER[USUAL].base} base features"
    if index < USUAL:
        why = "the largest up to the usual size that fits the memory"
    return because("size", value, f"{why}; --budget lets time decide")


def iterations_reason(iterations: int, settings: Settings) -> Reason:
    if settings.asked_iterations is not None:
        option = "--iterations" if settings.epochs is None else "--epochs"
        return because("iterations", str(iterations), "given", source=option, basis="given")
    return because(
        "iterations", str(iterations), "nnU-Net's 1000 x 250, as no budget is given", source=NNUNET, basis="rule"
    )


def budget_reasons(
    rung: Sequence[Configuration], iterations: int, settings: Settings, device: DeviceTiming, *, is_enough: bool
) -> tuple[Reason, ...]:
    features = ", ".join(str(base) for base in sorted({r.base for r in LADDER[SMALLEST_USUAL:]}))
    why = (
        f"the largest of {features} base features and three patches that fits the memory and gets at least "
        f"{ENOUGH_ITERATIONS} steps from {settings.budget_s:.0f} s on {device.threads} {device.device} threads"
    )
    if not is_enough:
        why = (
            f"even the smallest gets fewer than {ENOUGH_ITERATIONS} steps from {settings.budget_s:.0f} s: "
            "the budget is too small for a network that can be relied on"
        )
    value = f"{rung[-1].features[0]} base features, patch {size_text(rung[-1].patch_size)}"
    folds = "all folds and configurations together"
    return (
        because("size", value, why, basis="measured"),
        because(
            "iterations",
            str(iterations),
            f"what the budget pays for, {folds}, {device.how_timed(rung)}",
            basis="measured",
        ),
    )


def memory_reason(settings: Settings, limit_gb: float, needed_mb: float) -> Reason:
    given = settings.memory_gb is not None
    return because(
        "memory_gb",
        f"{limit_gb:g}",
        ("given" if given else "half of a usual machine's 16 GB")
        + f"; a training step is estimated to need {needed_mb / 1000:.2f} GB",
        source="--memory-gb" if given else OURS,
        basis="given" if given else "judgment",
    )


def configuration_reason(names: tuple[str, ...], settings: Settings) -> Reason:
    if settings.config != "auto":
        return because("configuration", ", ".join(names), "given", source="--config", basis="given")
    why = f"auto takes 3d_fullres where the head has at least {PATCH_SLICES // 2} slices at the target spacing, else 2d"
    return because("configuration", ", ".join(names), why)


def preparation_reasons(preparation: Preparation, steps: Steps, windows: Reason) -> tuple[Reason, ...]:
    reasons = [
        because("orientation", "canonical", "the same axes for every scan, so that left and right mean the same"),
        because("head_crop", "yes", "air and table around the head hold nothing to learn and cost time"),
        windows,
    ]
    if preparation.windowed == "last":
        why = "HU are stored, so that training can shift HU and add noise before it makes channels"
    else:
        why = f"{steps.pooling.kind if steps.pooling else ''} pooling needs values from 0 up"
    reasons.append(because("windowed", preparation.windowed, why))
    if steps.slab is None:
        reasons.append(because("slab", "none", "the head crop keeps the head's slices; --slab adds some beyond them"))
    reasons.extend(reason for reason in given_steps(steps) if reason.name != "windows")
    why = "thin slices are averaged as a scanner would; linear interpolation does not overshoot at bone"
    reasons.append(because("resampling", "average", why))
    return tuple(reasons)


def spacing_reason(fingerprint: Fingerprint, steps: Steps) -> Reason:
    spacing = target_spacing(fingerprint, steps)
    pooled = f", pooled by {steps.pooling.factor} in plane" if steps.pooling is not None else ""
    if steps.slice_spacing_mm is not None:
        along_z = "the slice spacing asked for along z"
    else:
        along_z = f"not finer than {FINEST_SLICE_MM} mm along z"
    why = (
        f"the median {spacing_text(fingerprint.spacing_mm)}{pooled}, but {along_z} and not finer than "
        f"{FINEST_MM} mm in plane, where a patch of equal extent costs four times as much"
    )
    return because("spacing_mm", spacing_text(spacing), why)


def network_reasons(item: Configuration, device: DeviceTiming) -> tuple[Reason, ...]:
    bf16 = "is faster" if device.bf16 else "is not faster"
    return (
        because("encoder", "plain", "residual encoders cost more per step; few steps are the bottleneck here"),
        because(
            "strides, kernels",
            f"{len(item.strides)} stages",
            "axes within a factor 2 of the finest are pooled, none below 4 voxels; kernels 1 along coarser axes",
            source=NNUNET,
            basis="rule",
        ),
        because("features", str(item.features), "doubled at each stage, at most 320", source=NNUNET, basis="rule"),
        because("blocks", "2 down, 2 up", "two convolutions per stage", source=NNUNET, basis="rule"),
        because(
            "batch_size",
            str(item.batch_size),
            "2 patches of full size; more where the head makes patches smaller",
            source=NNUNET,
            basis="rule",
        ),
        because("precision", item.precision, f"the device {bf16} in bf16", source="device.json", basis="measured"),
    )


def recipe_reasons(recipe: Recipe, preparation: Preparation, settings: Settings) -> tuple[Reason, ...]:
    rules = f"{recipe.weight_decay:g}, {recipe.clip_norm:g}"
    own = recipe.name == "headct"
    short = "nnU-Net's 0.99 averages over 100 steps, slow where there are a few thousand"
    reasons = [
        recipe_reason(recipe, settings, preparation),
        because(
            "learning_rate",
            f"{recipe.learning_rate:g}",
            "with less momentum than nnU-Net's, its 0.01 moves weights a fifth as far" if own else "nnU-Net's",
            source=RATE_SOURCE if own else NNUNET,
            basis="judgment" if own else "rule",
        ),
        because("weight_decay, clip_norm", rules, "nnU-Net's", source=NNUNET, basis="rule"),
        because(
            "momentum",
            f"{recipe.momentum:g}",
            short if own else "nnU-Net's",
            source=MOMENTUM_SOURCE if own else NNUNET,
            basis="judgment" if own else "rule",
        ),
        because("batch_dice", "yes", "most patches lack most classes; a Dice per patch would teach silence"),
        because("mirror_axes", "x", "heads are nearly symmetric left to right, along no other axis")
        if own
        else because("mirror_axes", "all", "nnU-Net's: every axis that a network sees", source=NNUNET, basis="rule"),
        because(
            "forced_foreground",
            f"{recipe.forced_foreground:g}",
            "nnU-Net's at 2 patches" if own else "nnU-Net's",
            source=NNUNET,
            basis="rule",
        ),
        because("seed", str(settings.seed), "given, or 0", source="--seed", basis="given"),
    ]
    if own:
        value = f"±{recipe.turn_degrees:g}°, up to {recipe.zoom:g} in slices"
        why = "heads lie askew and differ in size; a few dozen patients show too few of either"
        reasons.append(because("turn_degrees, zoom", value, why, source=RATE_SOURCE, basis="judgment"))
    if own and preparation.windowed == "last":
        value = f"±{recipe.shift_hu:g} HU, noise up to {recipe.noise_hu:g} HU"
        reasons.append(because("shift_hu, noise_hu", value, "scanners differ by a few HU; CT noise is of this size"))
    return tuple(reasons)
