"""How the learning rate falls."""

from math import ceil

from hemoseg.plan import Recipe

POLY_POWER = 0.9
"""Exponent of the learning rate's fall, nnU-Net's."""


def learning_rate(recipe: Recipe, iteration: int, iterations: int) -> float:
    """nnU-Net's poly schedule: initial · (1 - t)^0.9, where t is the share of the training that is over.

    By `nnunet` t counts whole epochs, so that the rate falls from epoch to epoch; by `headct` it counts steps.

    Args:
        recipe: the recipe.
        iteration: optimizer steps done.
        iterations: optimizer steps in all; a last epoch may be shorter than the others.

    Example:
        >>> recipe = Recipe(name="nnunet", epoch_iterations=250)
        >>> [round(learning_rate(recipe, i, 1000), 6) for i in (0, 249, 250, 999)]
        [0.01, 0.01, 0.007719, 0.002872]
        >>> round(learning_rate(Recipe(name="headct"), 500, 1000), 6)
        0.005359
    """
    if recipe.name == "nnunet":
        over = iteration // recipe.epoch_iterations / ceil(iterations / recipe.epoch_iterations)
    else:
        over = iteration / iterations
    return float(recipe.learning_rate * (1 - over) ** POLY_POWER)
