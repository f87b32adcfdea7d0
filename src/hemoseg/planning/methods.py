"""The methods paragraph of a run, from the plan itself."""

from hemoseg.plan import Configuration, Plan
from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.settings import FOLDS, Settings

REFERENCES = """\
1. Isensee F, Jaeger PF, Kohl SAA, Petersen J, Maier-Hein KH. nnU-Net: a self-configuring method for deep
   learning-based biomedical image segmentation. Nat Methods 18:203-211 (2021). doi:10.1038/s41592-020-01008-z
2. Liangwei. A nnUNet-based method for 3-dimensional intracranial hemorrhage segmentation. INSTANCE 2022
   challenge report (team superembrace).
3. He K, Zhang X, Ren S, Sun J. Delving deep into rectifiers. ICCV 2015. doi:10.1109/ICCV.2015.123
"""


def methods_text(plan: Plan, fingerprint: Fingerprint, settings: Settings) -> str:
    """Markdown: what was done, with the plan's own values, its reasons and the sources."""
    windows = ", ".join(f"{w.name} [{w.low_hu:g}, {w.high_hu:g}] HU" for w in plan.preparation.windows)
    patients = len({case.patient for case in fingerprint.cases})
    blocks = [_network_text(item) for item in plan.trained_configurations]
    recipe = plan.recipe
    return "\n".join(
        [
            f"# Methods: {plan.dataset_name}",
            "",
            f"{len(fingerprint.cases)} scans of {patients} patients with the classes "
            f"{', '.join(plan.labels[1:])} were reoriented so that arrays run to superior, posterior and left, "
            "cropped to the bounding box of the head, clamped to the range of the windows and resampled axis by "
            "axis: by averages over the covered interval where the target is coarser, by linear interpolation "
            f"where it is finer. Input channels are the windows {windows}, each scaled to [-1, 1] [2]. ",
            "",
            *blocks,
            f"Loss was cross-entropy plus soft Dice pooled over the batch, with deep supervision [1]; optimizer "
            f"SGD with Nesterov momentum {recipe.momentum:g}, learning rate {recipe.learning_rate:g} falling as "
            f"(1 - i/n)^0.9, weight decay {recipe.weight_decay:g}, gradient norm clipped at {recipe.clip_norm:g}; "
            f"weights drawn after He [3] from seed {plan.seed}. At least {recipe.forced_foreground:.0%} of the "
            f"patches contained foreground. Patches were mirrored left to right, shifted by up to "
            f"±{recipe.shift_hu:g} HU and, three in ten, given noise of up to {recipe.noise_hu:g} HU. ",
            "",
            f"Folds {', '.join(map(str, settings.folds))} of a {FOLDS}-fold cross-validation by patient were "
            "trained; each held-out scan was predicted by a sliding window with half a patch of overlap, Gaussian "
            "weights and left-right mirroring, and logits were returned to the scan's own grid.",
            "",
            "## Why these values",
            "",
            *[f"- {r.name} {r.value}: {r.why} ({r.basis}; {r.source})" for r in plan.reasons],
            "",
            "## References",
            "",
            REFERENCES,
        ]
    )


def _network_text(item: Configuration) -> str:
    size = " x ".join(map(str, item.patch_size))
    spacing = " x ".join("as scanned" if value is None else f"{value:g}" for value in item.spacing_mm)
    previous = f", with the {item.previous_stage} prediction as further input" if item.previous_stage else ""
    return (
        f"{item.name}: a plain U-Net (instance norm, leaky ReLU) with {len(item.features)} stages of "
        f"{', '.join(map(str, item.features))} channels{previous}, patches of {size} voxels (z, y, x) at "
        f"{spacing} mm, {item.batch_size} per step, {item.iterations} steps in {item.precision} [1]. "
    )
