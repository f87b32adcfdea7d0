"""The methods of a run in prose that a paper could use, from the plan itself."""

from collections.abc import Sequence

from hemoseg.datasets import pseudo_hu_text, source_text
from hemoseg.plan import Configuration, Plan, Pooling, Preparation, Recipe, SplineResampling
from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.planning.reasons import size_text
from hemoseg.planning.recipes import departures
from hemoseg.settings import FOLDS, Settings, SplitRule

REFERENCES = {
    "nnunet": "Isensee F, Jaeger PF, Kohl SAA, Petersen J, Maier-Hein KH. nnU-Net: a self-configuring method for deep "
    "learning-based biomedical image segmentation. Nat Methods 18:203-211 (2021). doi:10.1038/s41592-020-01008-z",
    "residual": "Isensee F, Wald T, Ulrich C, et al. nnU-Net revisited: a call for rigorous validation in 3D medical "
    "image segmentation. MICCAI 2024. arXiv:2404.09556",
    "paper": "Liangwei. A nnUNet-based method for 3-dimensional intracranial hemorrhage segmentation. INSTANCE 2022 "
    "challenge report (team superembrace).",
    "he": "He K, Zhang X, Ren S, Sun J. Delving deep into rectifiers. ICCV 2015. doi:10.1109/ICCV.2015.123",
    "stochastic": "Zeiler MD, Fergus R. Stochastic pooling for regularization of deep convolutional neural networks. "
    "ICLR 2013. arXiv:1301.3557",
}
"""All sources that a text may cite; those that it does cite are listed in the order of their first mention."""
AXES = "zyx"
LABELS_KEPT = "Label maps were resampled by the share of each class in a voxel, so that its volume was kept"
POOLED = {
    "maximum": "the largest value of each block",
    "average": "the mean of each block",
    "summed-area": "the sum of each block",
    "random-area": "one value of each block, drawn in training with a probability proportional to it and averaged with "
    "these weights in prediction",
}
"""What a way of pooling keeps."""
NORMALIZED = {
    "none": "left as it was",
    "ct": "clipped to the 0.5th and 99.5th percentile of the foreground and scaled by its mean and deviation",
    "zscore": "scaled to mean 0 and deviation 1, each scan by itself",
    "rescale": "scaled to [0, 1]",
    "rgb": "divided by 255",
}
"""What a normalization does to a channel."""


class _Text:
    """A text that numbers its sources as they are cited, and marks values that a preset's paper does not print."""

    def __init__(self, plan: Plan) -> None:
        self.cited: list[str] = []
        names = [reason.name for reason in plan.reasons if reason.basis == "assumed"]
        networks = tuple(f"{item.name}." for item in plan.configurations)
        self.assumed = {name.split(".", 1)[1] if name.startswith(networks) else name for name in names}

    def cite(self, key: str) -> str:
        """The source's number in brackets."""
        if key not in self.cited:
            self.cited.append(key)
        return f"[{self.cited.index(key) + 1}]"

    def mark(self, *names: str) -> str:
        """` (assumed)` behind a value whose reason says so."""
        return " (assumed)" if self.assumed & set(names) else ""

    def references(self) -> list[str]:
        """The sources cited, numbered."""
        return [f"{number}. {REFERENCES[key]}" for number, key in enumerate(self.cited, start=1)]


def methods_text(plan: Plan, fingerprint: Fingerprint, settings: Settings, *, stopping: str = "") -> str:
    """Markdown: what was done, with the plan's own values, its reasons, doubts and sources.

    Args:
        plan: the plan.
        fingerprint: the data set in numbers.
        settings: what the user decided.
        stopping: when early stopping can act, where it was asked for.
    """
    text = _Text(plan)
    assumed = [reason for reason in plan.reasons if reason.basis == "assumed"]
    blocks = [
        f"# Methods: {plan.dataset_name}",
        _data(plan, fingerprint) + _origin(plan, text) + " ".join(_preparation(plan.preparation, text)),
        *[_network(item, plan.preparation, text) for item in plan.trained_configurations],
        _training(plan, text) + _patience(settings, stopping),
        _validation(plan, settings, text),
    ]
    if assumed:
        listed = [f"- {r.name} {r.value}: {r.why}" for r in assumed]
        blocks += ["## Assumed", "The report does not print these values; what stands here is an assumption."]
        blocks += ["\n".join(listed)]
    reasons = [f"- {r.name} {r.value}: {r.why} ({r.basis}; {r.source})" for r in plan.reasons]
    blocks += ["## Why these values", "\n".join(reasons)]
    if plan.doubts:
        blocks += ["## Doubts", "\n".join(f"- {doubt}" for doubt in plan.doubts)]
    return "\n\n".join([*blocks, "## References", "\n".join(text.references())]) + "\n"


def _data(plan: Plan, fingerprint: Fingerprint) -> str:
    patients = len({case.patient for case in fingerprint.cases})
    text = f"{len(fingerprint.cases)} scans of {patients} patients, labeled {', '.join(plan.labels[1:])}, were used. "
    if fingerprint.sources:
        text += f"Their sources: {' '.join(map(source_text, fingerprint.sources))} "
    if fingerprint.pseudo_hu is not None:
        text += f"The scans hold {pseudo_hu_text(fingerprint.pseudo_hu)}. "
    if plan.regions:
        made = ", ".join(f"{name} of {_joined(numbers)}" for name, numbers in plan.table.members.items())
        text += f"These are regions of label numbers, which may overlap: {made}. "
    if fingerprint.ignore is not None:
        text += "Voxels that nobody labeled had no part in training and evaluation. "
    return text


def _joined(numbers: Sequence[int]) -> str:
    """Numbers as a text, like `1, 2 and 3`."""
    *others, last = map(str, numbers)
    return f"{', '.join(others)} and {last}" if others else last


def _origin(plan: Plan, text: _Text) -> str:
    if plan.preset is not None:
        memory = f"{plan.memory_gb:g} GB{text.mark('memory_gb')}"
        return (
            f"The system follows a challenge report {text.cite('paper')}, in the reading `{plan.preset}`; networks "
            f"were planned by nnU-Net v2's default rules{text.mark('planner')} for {memory} {text.cite('nnunet')}. "
        )
    if plan.planner != "headct":
        return f"Networks were planned by the rules of nnU-Net ({plan.planner}) {text.cite('nnunet')}. "
    return ""


def _preparation(preparation: Preparation, text: _Text) -> list[str]:
    """One sentence per step, in the order in which they are applied."""
    sentences = []
    if preparation.orientation == "canonical":
        mark = text.mark("orientation")
        sentences.append(f"Arrays were reoriented to run to superior, posterior and left{mark}.")
    elif preparation.orientation == "ras":
        sentences.append("Arrays were reoriented to run to superior, anterior and right.")
    else:
        sentences.append("Arrays were taken as stored.")
    if preparation.head_crop:
        sentences.append("Scans were cropped to the bounding box of the head.")
    if preparation.windows:
        sentences.append(_windows(preparation, text))
    if preparation.pooling is not None:
        sentences.append(_pooling(preparation.pooling, text))
    if preparation.slice_spacing_mm is not None:
        mark = text.mark("slice_spacing_mm")
        sentences.append(f"Slices were resampled to a distance of {preparation.slice_spacing_mm:g} mm{mark}.")
    if preparation.slab is not None:
        ranges = {"head": "that show the head", "label": "that hold a label (in prediction: that show the head)"}
        sentences.append(
            f"The slices {ranges[preparation.slab.train_range]}{text.mark('slab.train_range')} were kept, "
            f"and {preparation.slab.extend} beyond each end."
        )
    mark = text.mark("transpose")
    if preparation.transpose != (0, 1, 2) or mark:
        order = ", ".join(AXES[axis] for axis in preparation.transpose)
        sentences.append(f"Axes were taken in the order {order}{mark}.")
    if preparation.nonzero_crop:
        sentences.append(f"Scans were cropped to the bounding box of what is not 0 {text.cite('nnunet')}.")
    steps = [_normalization(preparation, text), _resampling(preparation, text)]
    return sentences + [step for step in (steps if preparation.normalize == "before" else steps[::-1]) if step]


def _windows(preparation: Preparation, text: _Text) -> str:
    named = ", ".join(f"{w.name} [{w.low_hu:g}, {w.high_hu:g}] HU" for w in preparation.windows)
    low, high = next(channel.scale for channel in preparation.channels if channel.window is not None)
    scaled = f"clamped and scaled to [{low:g}, {high:g}]{text.mark('windowed')}"
    marked = f"the windows {named}{text.mark('windows')}"
    if preparation.windowed == "first":
        return f"Input channels were {marked}, each {scaled} before any further step."
    return (
        f"Intensities were clamped to the range of all windows; input channels, made when patches were drawn, "
        f"were {marked}, each {scaled}."
    )


def _pooling(pooling: Pooling, text: _Text) -> str:
    cited = f" {text.cite('stochastic')}" if pooling.kind == "random-area" else ""
    return (
        f"In plane, blocks of {pooling.factor} x {pooling.factor}{text.mark('pooling.factor')} pixels became one: "
        f"{POOLED[pooling.kind]}{text.mark('pooling.kind')}{cited}."
    )


def _normalization(preparation: Preparation, text: _Text) -> str:
    parts = []
    for index, channel in enumerate(preparation.channels):
        if channel.normalization != "none":
            name, mark = f"channels.{index}", text.mark(f"channels.{index}.masked")
            where = "within the non-zero mask" if channel.masked else "over all voxels" if mark else ""
            taken = text.mark(f"{name}.source")
            subject = f"{channel.name}, taken as no CT{taken}," if taken else channel.name
            done = f"{subject} was {NORMALIZED[channel.normalization]}{text.mark(f'{name}.normalization')}"
            parts.append(f"{done}, {where}{mark}" if where else done)
    return f"Channel {'; '.join(parts)}." if parts else ""


def _resampling(preparation: Preparation, text: _Text) -> str:
    if isinstance(preparation.resampling, SplineResampling):
        order = preparation.resampling.image.order
        return (
            f"Scans were resampled to the target spacing by splines of order {order}, along an axis more than 3 times"
            f"{text.mark('anisotropy')} coarser apart from the plane and to the nearest slice {text.cite('nnunet')}."
            + (f" {LABELS_KEPT}{text.mark('resampling.labels')}." if preparation.resampling.labels is None else "")
        )
    return (
        "Scans were resampled to the target spacing axis by axis: by averages over the covered interval where it is "
        f"coarser, by linear interpolation where it is finer. {LABELS_KEPT}."
    )


def _network(item: Configuration, preparation: Preparation, text: _Text) -> str:
    axes = ", ".join(AXES[axis] for axis in preparation.transpose)
    spacing = " x ".join("as scanned" if value is None else f"{value:g}" for value in item.spacing_mm)
    previous = f", with the {item.previous_stage} prediction as further input" if item.previous_stage else ""
    kind = "a plain U-Net" if item.encoder == "plain" else f"a U-Net with a residual encoder {text.cite('residual')}"
    channels = ", ".join(map(str, item.features))
    return (
        f"{item.name}{text.mark('trained')}: {kind} (instance norm, leaky ReLU) with {len(item.features)} stages of "
        f"{channels} channels and {_blocks(item, text)}{previous}, patches of {size_text(item.patch_size)} voxels "
        f"({axes}) at {spacing} mm, {item.batch_size} per step, {item.iterations} steps in "
        f"{item.precision}{text.mark('precision')} {text.cite('nnunet')}."
    )


def _blocks(item: Configuration, text: _Text) -> str:
    """Convolutions or blocks of the stages, as few words as they need."""
    down, up = (
        str(blocks[0]) if len(set(blocks)) == 1 else ", ".join(map(str, blocks))
        for blocks in (item.blocks, item.decoder_blocks or (0,))
    )
    kind = "residual blocks" if item.encoder == "residual" else "convolutions"
    return f"{down}{text.mark('blocks')} {kind} each down, {up}{text.mark('decoder_blocks')} convolutions each up"


def _pooled(plan: Plan) -> str:
    """Over what Dice was pooled."""
    pooled = {item.batch_dice for item in plan.trained_configurations}
    if pooled == {True}:
        return "pooled over the batch"
    if pooled == {False}:
        return "of each patch"
    names = ", ".join(item.name for item in plan.trained_configurations if item.batch_dice)
    return f"of each patch ({names}: pooled over the batch)"


def _recipe_text(plan: Plan) -> str:
    """What is said of a recipe before its values."""
    if plan.recipe.name == "nnunet":
        return "Networks were trained by nnU-Net's recipe."
    how = "; ".join(f"{what} ({how})" for what, how in departures(plan.recipe, plan.planner, plan.preparation).items())
    return f"Networks were trained by a recipe for head CT that departs from nnU-Net's in {how}."


def _training(plan: Plan, text: _Text) -> str:
    recipe = plan.recipe
    order = plan.preparation.transpose
    axes = sorted({order[axis] for item in plan.trained_configurations for axis in item.mirror_axes})
    mirrored = ", ".join(AXES[axis] for axis in axes)
    forced = {recipe.forced_patches(item.batch_size) for item in plan.trained_configurations}
    augmented = (
        f"Patches were mirrored along {mirrored}{text.mark('mirror_axes')}" if axes else "Patches were not mirrored"
    )
    loss = "binary cross-entropy of each region" if plan.regions else "cross-entropy"
    if recipe.name == "nnunet":
        augmented += (
            ", and changed by nnU-Net's rotation, scaling, noise, blur, brightness, contrast, low resolution and gamma"
            f"{text.mark('augmentation')}"
        )
    if recipe.name == "headct" and (recipe.turn_degrees or recipe.zoom > 1):
        augmented += f", turned by up to ±{recipe.turn_degrees:g}° and zoomed by up to {recipe.zoom:g} within slices"
    if recipe.name == "headct" and plan.preparation.windowed == "last" and (recipe.shift_hu or recipe.noise_hu):
        augmented += (
            f", shifted by up to ±{recipe.shift_hu:g} HU and, three in ten, given noise of up to {recipe.noise_hu:g} HU"
        )
    sentences = (
        _recipe_text(plan),
        f"Loss was {loss} plus soft Dice {_pooled(plan)}{text.mark('batch_dice')}, with deep supervision by "
        f"weights that halve from stage to stage{text.mark('deep_supervision.weights')} {text.cite('nnunet')}; "
        f"{_optimizer(plan, text)}.",
        f"In each batch, the patches made to contain foreground numbered {' or '.join(map(str, sorted(forced)))}.",
        *_shares(plan.recipe),
        f"{augmented}.",
    )
    return " ".join(sentences)


def _shares(recipe: Recipe) -> list[str]:
    """Which patches a recipe prefers, where it does."""
    sentences = []
    if recipe.even_lesions:
        held = "held a lesion drawn evenly among a case's, whatever its size"
        sentences.append(f"{recipe.even_lesions * 100:g} % of them {held}.")
    others = {"held bright background": recipe.hard_negatives, "came from cases without foreground": recipe.empty_cases}
    told = [f"{share * 100:g} % {what}" for what, share in others.items() if share]
    return [*sentences, *([f"Of the other patches, {' and '.join(told)}."] if told else [])]


def _patience(settings: Settings, stopping: str) -> str:
    """When a training was to end early."""
    if settings.patience is None:
        return ""
    return (
        f" A fold's training was to end early after {settings.patience} epochs without a better average loss, once the "
        f"learning rate was low. {stopping}"
    ).rstrip()


def _optimizer(plan: Plan, text: _Text) -> str:
    per = f"after each {plan.recipe.epoch_iterations} steps" if plan.recipe.name == "nnunet" else "from step to step"
    recipe, mark, stopped = plan.recipe, text.mark("weight_decay, clip_norm"), text.mark("early_stopping")
    return (
        f"optimizer SGD with Nesterov momentum {recipe.momentum:g}, learning rate {recipe.learning_rate:g} falling as "
        f"(1 - i/n)^0.9 {per}{text.mark('learning_rate.exponent')}, weight decay {recipe.weight_decay:g}{mark}, "
        f"gradient norm clipped at {recipe.clip_norm:g}{mark}; weights drawn after He {text.cite('he')}"
        f"{text.mark('initialization')} from seed {plan.seed}{text.mark('seed, folds')}"
    ) + (f", no early stopping{stopped}" if stopped else "")


_SPLITS: dict[SplitRule, str] = {
    "stratified": "by patient, with folds alike in numbers of cases, of empty ones, of each class and in volume",
    "shuffled": "by patient",
    "nnunet": "with nnU-Net's own folds, none of which shares a patient with its training cases",
    "file": "with folds that were given, none of which shares a patient with its training cases",
}
"""How the folds came about, by rule."""


def _validation(plan: Plan, settings: Settings, text: _Text) -> str:
    mirrored = any(item.mirror_axes for item in plan.trained_configurations)
    averaged = f", averaged over mirrored patches{text.mark('mirrored_prediction')}" if mirrored else ""
    few = settings.train_cases
    fewer = "" if few is None else f", each on {few} patients drawn by the seed from those to train on"
    folds = f"{len(settings.folds)} of the {FOLDS} folds ({', '.join(map(str, settings.folds))})"
    return (
        f"Of a cross-validation {_SPLITS[settings.splits.rule]}, {folds} were trained"
        f"{text.mark('seed, folds')}{fewer}; each held-out scan was predicted by a sliding window with half a patch of "
        f"overlap and Gaussian weights of deviation 1/8 of it{text.mark('tile_weights.sigma')}{averaged}, and logits "
        f"were returned to the scan's own grid{_returned(plan.preparation, text)}."
    )


def _returned(preparation: Preparation, text: _Text) -> str:
    rule = preparation.resampling
    if not isinstance(rule, SplineResampling):
        return ""
    return f" by splines of order {rule.logits.order}{text.mark('resampling.logits')}"
