"""Which recipe a plan trains by, and its values."""

from hemoseg.plan import PlannerName, Preparation, Reason, Recipe, RecipeName
from hemoseg.planning.reasons import NNUNET, OURS, because
from hemoseg.settings import Settings

NNUNET_RECIPE = Recipe(
    name="nnunet", momentum=0.99, forced_foreground=0.33, shift_hu=0.0, noise_hu=0.0, validation_batches=50
)
"""How nnU-Net trains. `forced_foreground` is its share: the last round(0.33 · n) patches of a batch of n."""
HEADCT_RECIPE = Recipe(
    name="headct", learning_rate=0.03, momentum=0.95, validation_batches=10, turn_degrees=20.0, zoom=1.2
)
"""How networks are trained for head CT. Momentum 0.95: nnU-Net's 0.99 averages over 100 steps, slow where there are
a few thousand in all; `benchmarks/momentum.py` compares the two. With it the same rate moves weights a fifth as far,
rate / (1 - momentum): the rows `rate-…` of `benchmarks/study.py` compare 0.01 with 0.03."""
VALIDATION_COST = 1 / 3
"""Time of a validation batch as a share of a step's: the way forward alone, of which the way back is twice."""
BORDERS = "beyond borders within slices"
"""A departure of plans whose windows come last: where channels are stored, they are 0 there as in nnU-Net."""
DEPARTURES = {
    "momentum": "0.95 for 0.99",
    "learning rate": "begins at 0.03 for 0.01 and falls from step to step, not from epoch to epoch",
    "forced foreground": "half of a batch, rounded up, off-center within the patch, inside the scan, and only from "
    "cases that have foreground, where nnU-Net draws all cases alike",
    "batches of one": "the patch always forced, where nnU-Net forces none",
    "other patches": "inside the scan, where nnU-Net's may reach over its borders, and never from cases without a "
    "labeled voxel",
    "slices beyond a scan's": "the outermost ones repeated, labels too, for zeros",
    BORDERS: "the lowest HU that a window shows, so that all channels are -1, for zeros",
    "augmentation": "turning and zooming within slices{more}, in place of nnU-Net's table",
    "validation": "10 batches an epoch for 50",
}
"""Where the recipe for head CT departs from nnU-Net's, and how; `departures` fills in what a plan has."""


def departures(recipe: Recipe, planner: PlannerName, preparation: Preparation) -> dict[str, str]:
    """{what: how a recipe for head CT departs from nnU-Net's there} in a plan of a planner's.

    The planner `headct` alone knows left from right; networks of nnU-Net's planners are mirrored as nnU-Net mirrors.
    """
    more = ", shift and noise in HU" if recipe.shift_hu else ""
    more += " and mirroring from left to right" if planner == "headct" else ""
    stored = () if preparation.windowed == "last" else (BORDERS,)
    return {what: how.format(more=more) for what, how in DEPARTURES.items() if what not in stored}


def mirrored_axes(recipe: RecipeName, *, flat: bool) -> tuple[int, ...]:
    """Array axes that patches of canonical orientation are mirrored along; all that a network sees by nnU-Net's."""
    if recipe == "headct":
        return (2,)
    return (1, 2) if flat else (0, 1, 2)


def recipe_name(settings: Settings, planner: PlannerName) -> RecipeName:
    """The recipe that settings ask for, or the planner's own: `headct` for `headct`, `nnunet` for all others."""
    return settings.recipe or ("headct" if planner == "headct" else "nnunet")


def make_recipe(settings: Settings, planner: PlannerName, preparation: Preparation | None = None) -> Recipe:
    """The recipe of a plan.

    Args:
        settings: what the user decided.
        planner: rules that make the plan.
        preparation: how scans are prepared; shift and noise in HU need HU to be stored.
    """
    if recipe_name(settings, planner) == "nnunet":
        return NNUNET_RECIPE
    if preparation is not None and preparation.windowed != "last":
        return HEADCT_RECIPE.model_copy(update={"shift_hu": 0.0, "noise_hu": 0.0})
    return HEADCT_RECIPE


def step_share(recipe: Recipe) -> float:
    """Time of a step with its share of the validation batches, in steps.

    Example:
        >>> round(step_share(NNUNET_RECIPE), 4), round(step_share(HEADCT_RECIPE), 4)
        (1.0667, 1.0133)
    """
    return 1 + VALIDATION_COST * recipe.validation_batches / recipe.epoch_iterations


def recipe_reason(recipe: Recipe, settings: Settings, preparation: Preparation) -> Reason:
    """Which recipe, and where it departs from nnU-Net's."""
    if recipe.name == "nnunet":
        value = f"nnunet: momentum {recipe.momentum:g}, forced foreground {recipe.forced_foreground:g}"
        why, source = "nnU-Net's, whatever the data", NNUNET
    else:
        value = "headct"
        how = "; ".join(f"{what} {how}" for what, how in departures(recipe, settings.planner, preparation).items())
        why, source = f"nnU-Net's but for what short trainings on heads ask for: {how}", OURS
    if settings.recipe is not None:
        return because("recipe", value, f"given; {why}", source="--recipe", basis="given")
    return because("recipe", value, why, source=source, basis="rule" if recipe.name == "nnunet" else "judgment")
