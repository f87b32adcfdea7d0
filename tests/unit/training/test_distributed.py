"""Training by several processes: parts of batches, and what they make together."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import rank_program
from hemoseg.errors import ResourceError, SettingsError
from hemoseg.training import distributed as ranks_module
from hemoseg.training.distributed import ALONE, Ranks, SharedSource, joined
from rank_program import Drawn

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two real ranks found."""
    out = tmp_path_factory.mktemp("ranks")
    subprocess.run([*TORCHRUN, rank_program.__file__, out], check=True, capture_output=True)
    return [load_file(out / f"{rank}.safetensors") for rank in range(2)]


def test_two_ranks_train_as_one_process_does(two):
    """Losses, Dice, gradients and weights after three steps, for both kinds of Dice, ignored voxels and regions."""
    torch.set_num_threads(1)
    alone = rank_program.train(ALONE)
    for name, wanted in alone.items():
        if " gradient " in name:
            largest = max(
                float(t.abs().max())
                for n, t in alone.items()
                if n.startswith(name.split(" gradient ")[0] + " gradient")
            )
            torch.testing.assert_close(two[0][name], wanted, atol=1e-5 * largest, rtol=1e-4)
        else:
            torch.testing.assert_close(two[0][name], wanted, atol=1e-5, rtol=1e-4)


def test_both_ranks_have_the_same_bits(two):
    first, second = two
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_signal_to_one_rank_reaches_both(two):
    assert [int(found["signal"]) for found in two] == [15, 15]
    assert all(found["no signal"] and found["any"] for found in two)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_parts_are_the_whole_batch_in_its_order(size):
    source = Drawn(3)
    shared = [SharedSource(source=source, rank=rank, size=size) for rank in range(size)]
    for whole, parts in (
        (source.batch(7), [one.batch(7) for one in shared]),
        (source.validation_batch(7), [one.validation_batch(7) for one in shared]),
    ):
        assert np.array_equal(np.concatenate([part.inputs for part in parts]), whole.inputs)
        assert np.array_equal(np.concatenate([part.labels for part in parts]), whole.labels)
        assert sum((part.cases for part in parts), ()) == whole.cases
        assert all(len(part.inputs) >= 5 // size for part in parts)
    assert shared[0].ignore == 3
    assert [one.names_of(0) for one in shared] == [one.batch(0).cases for one in shared]


def test_more_ranks_than_patches_are_refused():
    Ranks(size=2).check_batch(2, where="3d_fullres")
    with pytest.raises(SettingsError, match="3 processes for batches of 2") as caught:
        Ranks(size=3).check_batch(2, where="3d_fullres")
    assert caught.value.exit_code == 2


def test_ranks_train_one_fold_after_the_other():
    Ranks(size=2).check_folds(1)
    ALONE.check_folds(5)
    with pytest.raises(SettingsError, match="3 folds at once with 2 processes"):
        Ranks(size=2).check_folds(3)


def test_threads_are_divided_among_the_ranks_of_a_machine():
    assert [Ranks(size=4, local_size=n).threads(8) for n in (1, 3, 4)] == [8, 2, 2]
    assert Ranks(size=4, local_size=4).threads(2) == 1
    assert [Ranks(size=2, local_size=2).workers(n) for n in (0, 1, 5)] == [0, 1, 2]


@pytest.mark.parametrize(("ranks", "patches", "sizes"), [(1, 5, (5,)), (2, 5, (2, 3)), (2, 4, (2,)), (3, 5, (1, 2))])
def test_batch_sizes_are_those_of_the_parts(ranks, patches, sizes):
    assert Ranks(size=ranks).batch_sizes(patches) == sizes


def test_without_torchrun_a_process_is_alone():
    with joined("cpu") as ranks:
        assert ranks is ALONE
    assert ranks.is_first
    assert ranks.first_signal(2) == 2
    assert [ranks.any(flag) for flag in (True, False)] == [True, False]
    sums = torch.ones(3)
    assert ranks.add(sums) is sums


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed.", RuntimeError, "DataLoader worker"),
        ("Connection closed by peer", ResourceError, "rank 1 of 2 lost another one: Connection closed"),
    ],
)
def test_a_dead_loader_worker_is_not_taken_for_a_lost_rank(monkeypatch, said, kind, text):
    """torch raises the first wherever the program is, which is mostly in a wait for the other ranks."""

    def fail(*_, **__):
        raise RuntimeError(said)

    monkeypatch.setattr(ranks_module.distributed, "all_reduce", fail)
    with pytest.raises(kind, match=text) as caught:
        Ranks(rank=1, size=2).wait()
    assert type(caught.value) is kind


LONELY = """
import sys
from datetime import timedelta
from hemoseg.training import distributed
distributed.BEGIN_LIMIT = timedelta(seconds=2)
from hemoseg.errors import HemosegError
try:
    with distributed.joined("cpu"):
        pass
except HemosegError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_whose_others_do_not_come_ends_and_says_so(rank):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    environment = os.environ | {name: str(value) for name, value in places.items()}
    environment |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "alone", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", LONELY], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == ResourceError.exit_code == 3, done.stderr
    assert f"distributed training: process {rank} of 2 found no others: " in done.stderr
    assert "expected: all of them within 2 s" in done.stderr
    assert "try: see that every node reaches the address that torchrun was given" in done.stderr
    assert "Traceback" not in done.stderr
