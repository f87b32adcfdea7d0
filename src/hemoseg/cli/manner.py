"""Options of trainings that are no settings: a resumed run may go without them, or with others."""

from typing import TYPE_CHECKING, Annotated

import typer

from hemoseg.cli.options import TRAINING

if TYPE_CHECKING:
    from hemoseg.pipeline.learn import Manner

TensorBoard = Annotated[
    bool,
    typer.Option(
        "--tensorboard",
        help="Also write TensorBoard's files beside the logs; needs `pip install 'hemoseg\\[tensorboard]'`.",
        rich_help_panel=TRAINING,
    ),
]
ParallelFolds = Annotated[
    int,
    typer.Option(
        "--parallel-folds",
        min=1,
        max=5,
        metavar="N",
        help="Train N folds at the same time, each in a process with its share of the threads.",
        rich_help_panel=TRAINING,
    ),
]


def make_manner(*, tensorboard: bool, parallel_folds: int) -> "Manner":
    """What the options ask for.

    Raises:
        ResourceError: the package that writes TensorBoard's files is not there: told before hours of work.
    """
    from importlib.util import find_spec

    from hemoseg.errors import ResourceError
    from hemoseg.pipeline.learn import Manner

    if tensorboard and find_spec("tensorboardX") is None:
        raise ResourceError(
            "the package tensorboardX is not installed",
            where="--tensorboard",
            expected="it, to write TensorBoard's files",
            remedy="pip install 'hemoseg[tensorboard]', or leave the option out: train.jsonl and epochs.jsonl have "
            "the same numbers",
        )
    return Manner(tensorboard=tensorboard, parallel_folds=parallel_folds)
