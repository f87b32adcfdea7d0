"""What users are told of `--patience`, and what a card says of a training that stopped."""

import pytest

from hemoseg.errors import ArtifactError
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.patience import patience_text, say_patience, steps_done
from hemoseg.pipeline.watch import Silent
from hemoseg.plan import Recipe
from hemoseg.settings import Settings
from plans import tiny_configuration, tiny_plan

ASKED = Settings(patience=5)


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def planned(rate=0.01):
    return tiny_plan(tiny_configuration(iterations=250_000), recipe=Recipe(name="nnunet", learning_rate=rate))


def test_a_patience_that_cannot_act_is_told():
    heard = Heard()
    say_patience(planned(), ASKED, heard)
    assert heard.lines == [
        "--patience 5 cannot end the training of 3d_fullres early: it waits for a learning rate of 1e-06 or less, and "
        "that of the last of 1,000 epochs is 2.0e-05. It could in 55,652 epochs or more, from epoch 55,651 on."
    ]


def test_a_patience_that_no_training_is_long_enough_for_is_told():
    found = patience_text(planned(), Settings(patience=2 * 10**9))
    assert found.startswith(
        "--patience 2000000000 cannot end the training of 3d_fullres early: it waits for a learning"
    )
    assert found.endswith("epochs is 2.0e-05. No plan has as many epochs as that takes.")
    assert patience_text(planned(1e-7), Settings(patience=1000)) == (
        "--patience 1000 cannot end the training of 3d_fullres early: its wait is not over before the last of 1,000 "
        "epochs. It could in 1,003 epochs or more, from epoch 1,002 on."
    )


def test_one_that_can_act_is_told_from_which_epoch_on():
    found = patience_text(planned(5e-5), ASKED)
    assert found == "--patience 5 can end the training of 3d_fullres from epoch 989 of 1,000 on."


def test_nothing_is_told_where_none_was_asked_for():
    heard = Heard()
    say_patience(planned(), Settings(), heard)
    assert heard.lines == []


def test_steps_are_those_of_the_log_where_a_training_may_have_stopped(tmp_path):
    folder, plan = RunFolder(tmp_path), planned()
    name = plan.trained[0]
    assert steps_done(folder, plan, Settings(), name, (0, 2)) == (250_000, 250_000)
    for fold, step in ((0, 500), (2, 250_000)):
        folder.fold(name, fold).mkdir(parents=True)
        (folder.fold(name, fold) / "epochs.jsonl").write_text(f'{{"iteration": 250}}\n{{"iteration": {step}}}\n')
    assert steps_done(folder, plan, ASKED, name, (0, 2)) == (500, 250_000)
    (folder.fold(name, 2) / "epochs.jsonl").write_text("")
    with pytest.raises(ArtifactError, match="how many steps"):
        steps_done(folder, plan, ASKED, name, (0, 2))
