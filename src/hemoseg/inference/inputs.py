"""What the networks of a configuration see of a scan."""

import numpy as np

from hemoseg.geometry import Volume
from hemoseg.inference.sliding import Outside
from hemoseg.plan import Configuration, Plan
from hemoseg.preprocess import Prepared, network_channels, outside_values, prepare, prepare_cascade
from hemoseg.types import LabelMap, NewStack
from hemoseg.windows import one_hot


def network_input(
    plan: Plan, configuration: Configuration, volume: Volume, previous: LabelMap | None
) -> tuple[Prepared, NewStack]:
    """The scan on the configuration's grid, and the channels that its networks see, axes (c, z, y, x).

    Args:
        plan: the plan.
        configuration: one of its configurations.
        volume: the scan.
        previous: a previous stage's label map on the scan's grid; not looked at where there is no such stage.
    """
    preparation = plan.preparation
    if configuration.previous_stage is None:
        prepared = prepare(volume, preparation, configuration.spacing_mm)
        return prepared, network_channels(prepared.image, preparation)
    assert previous is not None
    prepared, labels = prepare_cascade(volume, previous, preparation, configuration.spacing_mm)
    classes = one_hot(labels, plan.table.largest + 1)
    return prepared, np.concatenate([network_channels(prepared.image, preparation), classes])


def what_is_outside(plan: Plan, configuration: Configuration) -> Outside:
    """What these channels hold beyond the scan; as in training."""
    values = outside_values(plan.preparation)
    more = plan.input_channels(configuration) - len(values)
    return Outside(values=(*values, *[0.0] * more), repeats_slices=plan.recipe.repeats_slices)
