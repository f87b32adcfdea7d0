"""Training: learns, logs, stops, and resumes to the same bits."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboardX.proto import event_pb2

from hemoseg.data import Sampler, StoredCase
from hemoseg.errors import ArtifactError, InterruptedRunError, ResourceError, SettingsError
from hemoseg.nets import build_network
from hemoseg.nets.weights import distinct_weights, take_weights
from hemoseg.plan import Recipe, Region
from hemoseg.training import Choices, loop, train
from plans import head_volume, tiny_configuration, tiny_plan

ITERATIONS = 12


def cases():
    volume = head_volume()
    hu = np.clip(volume.hu, -20, 100)
    return [StoredCase(name="a", image=hu[None], labels=(volume.hu == 65).astype(np.uint8), previous=None)]


PLAIN = Choices()


def go(
    folder,
    *,
    watch=lambda progress: None,
    stop=lambda: None,
    sha="p",
    iterations=ITERATIONS,
    given=cases,
    recipe=None,
    choices=PLAIN,
    source=lambda sampler: sampler,
    after_epoch=lambda: None,
    item=None,
    **changes,
):
    plan = tiny_plan(tiny_configuration(iterations=iterations, **(item or {})), recipe=recipe or Recipe(), **changes)
    sampler = source(Sampler(given(), plan, plan.configurations[0], fold=0, held_out=given()))
    train(
        folder,
        plan,
        plan.configurations[0],
        sampler,
        plan_sha256=sha,
        device="cpu",
        watch=watch,
        stop=stop,
        choices=choices,
        after_epoch=after_epoch,
    )
    return load_file(folder / "last.safetensors")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


SHORT = Recipe(epoch_iterations=5, validation_batches=2)
"""Epochs of 5, 5 and 2 steps, of 2, 2 and 1 validation batches."""


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs, what is on disk stays."""


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns(tmp_path, monkeypatch):
    monkeypatch.setattr("hemoseg.training.loop.SAVE_EVERY_S", 1e9)  # a saved state would end a line of the log early
    go(tmp_path, iterations=60)
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == list(range(10, 61, 10))
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.3
    assert set(rows[0]["dice"]) == {"hemorrhage", "edema"}


def test_a_plan_in_bf16_is_computed_in_float32_where_asked(tmp_path):
    full = go(tmp_path / "full")
    halved = {"precision": "bf16"}
    assert same(full, go(tmp_path / "asked", item=halved, choices=Choices(halved=False)))
    assert not same(full, go(tmp_path / "halved", item=halved))


def test_folds_begin_with_weights_of_their_own(tmp_path):
    """The same batches, so that nothing else differs."""
    first = go(tmp_path / "first", iterations=1)
    assert same(first, go(tmp_path / "again", iterations=1, choices=Choices(fold=0)))
    other = go(tmp_path / "other", iterations=1, choices=Choices(fold=1))
    kernels = [name for name in first if name.endswith("conv.weight")]
    assert kernels
    assert not any(torch.equal(first[name], other[name]) for name in kernels)


def test_a_finished_training_is_left_alone(tmp_path):
    first = go(tmp_path)
    before = (tmp_path / "last.safetensors").stat().st_mtime_ns
    assert same(first, go(tmp_path))
    assert (tmp_path / "last.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("at", [1, 5, 10, 11, 12])
def test_stopped_and_resumed_ends_with_the_same_bits(tmp_path, at):
    whole = go(tmp_path / "whole")
    done = []
    with pytest.raises(InterruptedRunError) as caught:
        go(
            tmp_path / "cut",
            watch=lambda progress: done.append(progress.iteration),
            stop=lambda: 15 if done[-1] == at else None,
        )
    assert caught.value.exit_code == 143
    seen = []
    resumed = go(tmp_path / "cut", watch=lambda progress: seen.append(progress.iteration))
    assert seen == list(range(at + 1, ITERATIONS + 1))
    assert same(whole, resumed)


def test_killed_after_a_saved_state_ends_with_the_same_bits(tmp_path, monkeypatch):
    whole = go(tmp_path / "whole")
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)

    def kill(progress):
        if progress.iteration == 7:
            raise Killed

    with pytest.raises(Killed):
        go(tmp_path / "cut", watch=kill)
    seen = []
    resumed = go(tmp_path / "cut", watch=lambda progress: seen.append(progress.iteration))
    assert seen[0] == 7  # killed while telling of 7: the state of 6 is the last one saved
    assert same(whole, resumed)
    rows = [json.loads(line)["iteration"] for line in (tmp_path / "cut" / "train.jsonl").read_text().splitlines()]
    assert rows == sorted(set(rows))


def test_killed_after_an_epoch_that_is_shorter_than_a_minute_it_goes_on_from_its_end(tmp_path):
    whole = go(tmp_path / "whole", recipe=SHORT)

    def kill(progress):
        if progress.iteration == 7:
            raise Killed

    with pytest.raises(Killed):
        go(tmp_path / "cut", recipe=SHORT, watch=kill)
    seen = []
    resumed = go(tmp_path / "cut", recipe=SHORT, watch=lambda progress: seen.append(progress.iteration))
    assert seen[0] == 6
    assert same(whole, resumed)


def test_a_state_of_another_plan_is_refused(tmp_path):
    with pytest.raises(InterruptedRunError):
        go(tmp_path, stop=lambda: 2)
    with pytest.raises(ArtifactError, match="another plan"):
        go(tmp_path, sha="q")


class Poisoned:
    """A source whose batch of one iteration is not finite, or so large that the gradient is not."""

    def __init__(self, sampler, *, iteration, value):
        self.sampler, self.iteration, self.value = sampler, iteration, value
        self.ignore = sampler.ignore

    def batch(self, iteration):
        batch = self.sampler.batch(iteration)
        return replace(batch, inputs=batch.inputs * np.float32(self.value)) if iteration == self.iteration else batch

    def names_of(self, iteration):
        return self.sampler.names_of(iteration)

    def validation_batch(self, number):
        return self.sampler.validation_batch(number)


def test_a_loss_that_is_not_finite_names_the_cases_and_keeps_the_last_good_state(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    with pytest.raises(ResourceError, match="nan at iteration 3, on patches of a") as caught:
        go(tmp_path, source=lambda sampler: Poisoned(sampler, iteration=3, value=np.nan))
    assert caught.value.exit_code == 3
    assert caught.value.expected == "a finite one; the state saved last is kept"
    seen = []
    assert same(go(tmp_path / "whole"), go(tmp_path, watch=lambda progress: seen.append(progress.iteration)))
    assert seen[0] == 4


def test_where_no_state_was_saved_none_is_said_to_be_kept(tmp_path):
    with pytest.raises(ResourceError, match="nan at iteration 0") as caught:
        go(tmp_path, source=lambda sampler: Poisoned(sampler, iteration=0, value=np.nan))
    assert caught.value.expected == "a finite one; no state was saved before it"
    assert not (tmp_path / "state.safetensors").exists()


@pytest.mark.parametrize(("iterations", "seconds"), [(10**24, 1.0), (4000, 1e300), (10, 1e-300)])
def test_any_time_that_is_left_can_be_told(iterations, seconds):
    text = loop.Progress(iteration=1, iterations=iterations, loss=0.5, seconds=seconds, first=0).text
    assert text.endswith("0:00:00 left" if seconds < 1 else "more than a century left")


def test_epochs_are_validated_and_told(tmp_path, monkeypatch):
    """By hand: the moving averages keep 0.93 of the loss and 0.9 of the pseudo Dice, here 0.5, 0.9 and 0.1."""
    means = iter([0.5, 0.9, 0.1])
    monkeypatch.setattr(loop, "mean_dice", lambda dice: next(means))
    told = []
    go(tmp_path, recipe=SHORT, watch=told.append)
    validated = [(one.iteration, one.validated) for one in told if one.validated]
    assert validated == [(5, 1), (5, 2), (10, 1), (10, 2), (12, 1)]
    rows = lines(tmp_path / "epochs.jsonl")
    assert [(row["epoch"], row["iteration"]) for row in rows] == [(1, 5), (2, 10), (3, 12)]
    steps = [one.loss for one in told if one.validated is None]
    losses = [np.mean(steps[:5]), np.mean(steps[5:10]), np.mean(steps[10:])]
    assert [row["loss"] for row in rows] == pytest.approx(losses, abs=1e-7)
    second = 0.93 * losses[0] + 0.07 * losses[1]
    averages = [losses[0], second, 0.93 * second + 0.07 * losses[2]]
    assert [row["loss_average"] for row in rows] == pytest.approx(averages, abs=1e-7)
    assert [row["ema"] for row in rows] == pytest.approx([0.5, 0.54, 0.496], abs=1e-7)
    checks = [one.loss for one in told if one.validated]
    wanted = [np.mean(checks[:2]), np.mean(checks[2:4]), checks[4]]
    assert [row["validation_loss"] for row in rows] == pytest.approx(wanted, abs=1e-7)
    assert set(rows[0]["dice"]) == {"hemorrhage", "edema"}


def test_the_best_weights_are_those_of_the_largest_average(tmp_path, monkeypatch):
    found = iter([0.5, 0.9, 0.1])
    monkeypatch.setattr(loop, "mean_dice", lambda dice: next(found))
    kept = {}

    def note(progress):
        kept[progress.iteration] = (tmp_path / "best.safetensors").read_bytes() if progress.iteration > 5 else b""

    last = go(tmp_path, recipe=SHORT, watch=note)
    assert kept[11] != kept[6]
    assert kept[12] == kept[11]
    assert not same(load_file(tmp_path / "best.safetensors"), last)


def test_validation_moves_no_weight(tmp_path):
    plain = go(tmp_path / "a")
    assert same(plain, go(tmp_path / "b", recipe=SHORT))
    assert not (tmp_path / "a" / "best.safetensors").exists()


@pytest.mark.parametrize("at", [3, 6, 8, 12, 16])
def test_stopped_anywhere_in_an_epoch_it_ends_with_the_same_bytes(tmp_path, at):
    """Units of work are 12 steps and 5 validation batches: stopped amid either, and at an epoch's end."""
    go(tmp_path / "whole", recipe=SHORT)
    done = []
    with pytest.raises(InterruptedRunError):
        go(tmp_path / "cut", recipe=SHORT, watch=done.append, stop=lambda: 15 if len(done) == at else None)
    go(tmp_path / "cut", recipe=SHORT)
    for name in ("last", "best", "state"):
        whole, cut = ((tmp_path / run / f"{name}.safetensors").read_bytes() for run in ("whole", "cut"))
        assert whole == cut, name
    assert lines(tmp_path / "whole" / "epochs.jsonl") == lines(tmp_path / "cut" / "epochs.jsonl")


def test_without_a_better_loss_it_stops_where_the_rate_is_low(tmp_path):
    """Learning rate 1e-7: the loss does not move; patience 1 ends the training after the third epoch of five."""
    slow = Recipe(epoch_iterations=2, learning_rate=1e-7)
    go(tmp_path / "a", iterations=10, recipe=slow, choices=Choices(patience=1))
    assert len(lines(tmp_path / "a" / "epochs.jsonl")) < 5
    go(tmp_path / "b", iterations=10, recipe=slow)
    assert len(lines(tmp_path / "b" / "epochs.jsonl")) == 5


def test_regions_are_trained(tmp_path):
    """Two regions, one in the other: two outputs, and a pseudo Dice of each."""
    regions = (Region(labels=(1, 2), paint=1), Region(labels=(2,), paint=2))
    weights = go(tmp_path, recipe=SHORT, labels=("background", "lesion", "core"), regions=regions)
    assert weights["decoder.seg_layers.0.bias"].shape == (2,)
    rows = lines(tmp_path / "epochs.jsonl")
    assert set(rows[0]["dice"]) == {"lesion", "core"}
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_weights_to_begin_with_are_taken_where_they_fit(tmp_path):
    """A model of two classes, begun again with one: all but the heads is taken, and another topology is refused."""
    first = go(tmp_path / "first")
    init = tmp_path / "first" / "last.safetensors"
    network = build_network(tiny_plan(labels=("background", "hemorrhage")), tiny_configuration())
    left = take_weights(network, init)
    assert left
    assert all(name.startswith("decoder.seg_layers.") for name in left)
    own = distinct_weights(network)
    assert all(torch.equal(own[name], first[name]) for name in own if name not in left)
    slow = Recipe(learning_rate=1e-9)
    again = go(tmp_path / "again", iterations=1, recipe=slow, choices=Choices(init=init))
    assert all(torch.allclose(again[name], first[name], atol=1e-6) for name in first)
    with pytest.raises(SettingsError, match="another network"):
        take_weights(build_network(tiny_plan(), tiny_configuration(features=(6, 8))), init)


@pytest.fixture
def scalars(monkeypatch):
    """What TensorBoard is told, the last item `closed`."""
    told = []
    writer = SimpleNamespace(
        add_scalar=lambda name, value, at: told.append((name, value, at)),
        flush=lambda: None,
        close=lambda: told.append("closed"),
    )
    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=lambda *_, **__: writer))
    return told


def test_tensorboard_is_told_the_same_numbers(tmp_path, scalars):
    go(tmp_path, recipe=SHORT, choices=Choices(tensorboard=True))
    rows = lines(tmp_path / "epochs.jsonl")
    assert ("epoch/ema", rows[0]["ema"], 5) in scalars
    assert {"train/loss", "epoch/validation_loss", "epoch/dice/edema"} <= {name for name, _, _ in scalars[:-1]}
    assert scalars[-1] == "closed"


def test_tensorboard_has_all_of_a_training_that_was_stopped(tmp_path, scalars):
    with pytest.raises(InterruptedRunError):
        go(tmp_path, choices=Choices(tensorboard=True), stop=lambda: 2)
    assert scalars[-2][0] == "train/learning_rate"
    assert scalars[-1] == "closed"


def events(folder):
    """Events in TensorBoard's files: length, its checksum, the event and its checksum, again and again.

    Source: the masked CRC-32C of TFRecord, tensorflow.org/tutorials/load_data/tfrecord.
    """
    found = []
    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            length = content[at : at + 8]
            end = at + 12 + int.from_bytes(length, "little")
            for data, there in ((length, at + 8), (content[at + 12 : end], end)):
                assert int.from_bytes(content[there : there + 4], "little") == masked_crc32c(data)
            found.append(event_pb2.Event.FromString(content[at + 12 : end]))
            at = end + 4
        assert at == len(content)
    return found


def masked_crc32c(data):
    """The checksum, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_the_checksum_is_that_of_the_standard():
    """RFC 3720, B.4: thirty-two bytes of zero have the CRC-32C 0x8a9136aa."""
    rotated = 0x8A9136AA >> 15 | 0x8A9136AA << 17
    assert masked_crc32c(bytes(32)) == (rotated + 0xA282EAD8) & 0xFFFFFFFF


def test_tensorboards_files_hold_what_the_logs_say(tmp_path):
    """Stopped after two steps and resumed: what comes after them is purged, the rest is in both logs."""
    with pytest.raises(InterruptedRunError):
        go(tmp_path, recipe=SHORT, choices=Choices(tensorboard=True), stop=lambda: 2)
    go(tmp_path, recipe=SHORT, choices=Choices(tensorboard=True))
    told = events(tmp_path / "tensorboard")
    done = lines(tmp_path / "train.jsonl")[0]["iteration"]
    begun = [event.step for event in told if event.session_log.status == event_pb2.SessionLog.START]
    assert begun == [1, done + 1]
    values = {(value.tag, event.step): value.simple_value for event in told for value in event.summary.value}
    expected = {}
    for group, name in (("train", "train"), ("epoch", "epochs")):
        for row in lines(tmp_path / f"{name}.jsonl"):
            dice = {f"dice/{tag}": value for tag, value in row["dice"].items()} if group == "epoch" else {}
            shown = {tag: value for tag, value in (row | dice).items() if isinstance(value, float) and tag != "seconds"}
            expected |= {(f"{group}/{tag}", row["iteration"]): value for tag, value in shown.items()}
    assert values.keys() == expected.keys()
    assert {tag for tag, _ in values} >= {"train/loss", "train/learning_rate", "epoch/ema", "epoch/dice/edema"}
    assert values == pytest.approx(expected, rel=1e-6)


def test_a_part_of_a_patch_that_is_ignored_has_no_label_in_training(tmp_path):
    """Neither background nor a class: the weights are those of none of the two."""
    results = []
    for number in (0, 1, 3):
        (case,) = cases()
        case.labels[:, :, 12:20] = number
        results.append(go(tmp_path / str(number), iterations=2, given=lambda case=case: [case]))
    assert not any(same(results[2], other) for other in results[:2])
    assert all(torch.isfinite(weight).all() for weight in results[2].values())


def test_fresh_trainings_leave_the_same_bytes_however_fast_they_are(tmp_path, monkeypatch):
    """The clock runs a thousand times faster in the second: longer numbers in the log."""
    clock, contents = loop.time.monotonic, []
    for number, speed in enumerate((1, 1000)):
        monkeypatch.setattr(loop.time, "monotonic", lambda speed=speed: clock() * speed)
        folder = tmp_path / str(number)
        go(folder, iterations=3)
        contents.append([(folder / f"{name}.safetensors").read_bytes() for name in ("state", "last")])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("tail", ['{"iteration": 7, "loss": 1}\n', '{"iteration": 1', '{"iteration": 1}', "1\n", "\n"])
def test_what_a_kill_left_behind_the_state_is_cut_off_the_log(tmp_path, tail):
    with pytest.raises(InterruptedRunError):
        go(tmp_path, stop=lambda: 2)
    log = tmp_path / "train.jsonl"
    first = log.read_text()
    log.write_text(first + tail)
    with pytest.raises(InterruptedRunError):
        go(tmp_path, stop=lambda: 2)
    lines = log.read_text().splitlines(keepends=True)
    assert lines[0] == first
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2]


def test_the_end_of_an_epoch_is_told_when_its_files_are_there(tmp_path):
    told = []

    def look():
        lines = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
        told.append((lines[-1]["iteration"], (tmp_path / "state.safetensors").is_file()))

    go(tmp_path, recipe=Recipe(epoch_iterations=5), after_epoch=look)
    assert told == [(5, True), (10, True), (12, True)]
