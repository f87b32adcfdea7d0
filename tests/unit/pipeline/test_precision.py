"""A fold whose gradients in bf16 are wrong is computed in float32, from its first step to its last."""

import json

import pytest

from hemoseg.artifacts import write_model
from hemoseg.errors import ArtifactError
from hemoseg.pipeline import precision
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.learn import Manner, train_stage
from hemoseg.pipeline.parallel import FoldWork
from hemoseg.pipeline.precision import computed_in, decide
from hemoseg.pipeline.watch import Silent
from hemoseg.planning import DeviceTiming
from hemoseg.settings import Settings
from hemoseg.training import ALONE, Choices
from plans import tiny_configuration, tiny_plan

BF16 = tiny_configuration(precision="bf16", batch_size=5)


class Listener(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


class Pair:
    """Two ranks, of which the other one finds what it is said to find."""

    is_first = True

    def __init__(self, *, other):
        self.other = other

    def any(self, flag):
        return flag or self.other

    def batch_sizes(self, patches):
        return (patches // 2, patches - patches // 2)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose name and faults can be changed; `tried` keeps what was asked of it."""
    folder, state = RunFolder(tmp_path), {"fault": "gradients are wrong", "name": "A", "amx": True, "tried": []}
    write_model(folder.device_file, DeviceTiming(device="cpu", threads=2, bf16=True, layout="channels_last"))

    def find(*_, **given):
        state["tried"].append(given)
        return state["fault"]

    monkeypatch.setattr("hemoseg.training.bf16_fault", find)
    monkeypatch.setattr(precision, "processor", lambda: state["name"])
    monkeypatch.setattr("hemoseg.training.has_amx", lambda: state["amx"])
    return folder, state


def halved(folder, *, item=BF16, device="cpu", ranks=ALONE, watch=None, threads=2):
    work = FoldWork(run=folder.path, configuration=item.name, fold=3, threads=threads, choices=Choices(patience=7))
    found = decide(folder, tiny_plan(item), work, device=device, watch=watch or Silent(), ranks=ranks)
    assert found.choices.patience == 7
    return found.choices.halved


def test_a_fault_is_told_and_kept(machine):
    folder, state = machine
    watch = Listener()
    assert not halved(folder, watch=watch)
    assert watch.said == ["3d_fullres fold 3 is trained in float32: on this CPU gradients are wrong"]
    given = {"device": "cpu", "layout": "channels_last", "threads": 2, "batch_sizes": (5,)}
    assert state["tried"] == [given]
    state["fault"] = None
    assert not halved(folder)  # a resume goes on as it began
    assert len(state["tried"]) == 1


def test_what_holds_is_kept_too(machine):
    folder, state = machine
    state["fault"] = None
    assert halved(folder)
    state["fault"] = "flaky"
    assert halved(folder)
    assert len(state["tried"]) == 1


@pytest.mark.parametrize("other", [{"name": "B"}, {"amx": False}, {"threads": 1}])
def test_another_machine_or_number_of_threads_is_tried_anew(machine, other):
    folder, state = machine
    assert not halved(folder)
    state |= {"fault": None, "name": other.get("name", "A"), "amx": other.get("amx", True)}
    assert halved(folder, threads=other.get("threads", 2))
    assert len(state["tried"]) == 2


def test_ranks_agree(machine):
    """A rank that finds nothing computes in float32 if another finds a fault; parts of a batch are what is tried."""
    folder, state = machine
    state["fault"] = None
    assert not halved(folder, ranks=Pair(other=True))
    assert state["tried"][0]["batch_sizes"] == (2, 3)


@pytest.mark.parametrize("other", [{"item": tiny_configuration()}, {"device": "cuda"}])
def test_nothing_is_tried_or_kept_without_bf16_or_on_a_gpu(machine, other):
    folder, state = machine
    assert halved(folder, **other)
    assert not state["tried"]
    assert not folder.fold("3d_fullres", 3).exists()


def test_a_damaged_file_is_refused(machine):
    folder, _ = machine
    folder.fold("3d_fullres", 3).mkdir(parents=True)
    (folder.fold("3d_fullres", 3) / "precision.json").write_text(json.dumps({"precision": "bf8"}))
    with pytest.raises(ArtifactError, match="fold_3"):
        halved(folder)


@pytest.mark.parametrize("at_once", [1, 2])
def test_training_is_given_what_was_decided(machine, monkeypatch, at_once):
    folder, _ = machine
    done = []
    monkeypatch.setattr("hemoseg.pipeline.learn._check_cases", lambda *_: None)
    monkeypatch.setattr("hemoseg.nets.use_threads", lambda _: None)
    monkeypatch.setattr("hemoseg.pipeline.learn._train_one", lambda _f, _p, work, **_: done.append(work))
    monkeypatch.setattr("hemoseg.pipeline.learn.train_folds", lambda _f, _c, works, *_, **__: done.extend(works))
    settings = Settings(folds=(3, 4), iterations=1)
    train_stage(folder, tiny_plan(BF16), settings, Silent(), manner=Manner(parallel_folds=at_once))
    assert [(work.fold, work.choices.halved) for work in done] == [(3, False), (4, False)]


def test_a_card_tells_what_networks_were_computed_in(machine):
    folder, _ = machine
    plan = tiny_plan(BF16)
    assert computed_in(folder, plan, BF16.name, (3,)) == "bf16"  # trained before it was kept
    assert not halved(folder)
    assert computed_in(folder, plan, BF16.name, (3,)) == "fp32"
    assert computed_in(folder, plan, BF16.name, (3, 4)) == "bf16 and fp32"
    assert computed_in(folder, tiny_plan(), "3d_fullres", (4,)) == "fp32"
