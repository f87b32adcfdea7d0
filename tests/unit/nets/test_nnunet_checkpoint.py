"""Checkpoints of nnU-Net: what is read, and what is refused before anything runs."""

import pickle
import tracemalloc
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

import nnunet_models as small
from hemoseg.errors import ArtifactError, InputError
from hemoseg.interop import read_plans
from hemoseg.nets.nnunet_checkpoint import ALLOWED, Checkpoint, fitted_weights, read_checkpoint, write_checkpoint

KIND, NAME = "plain", "3d_fullres"


@pytest.fixture
def plan():
    return read_plans(small.plans_json(KIND), small.dataset_json(KIND))


@pytest.fixture
def content(plan):
    """What nnU-Net keeps of a training."""
    weights = small.formula_weights(plan, plan.configuration(NAME), fold=0)
    return small.checkpoint(weights, KIND, NAME, 0)


def saved(folder: Path, content: object) -> Path:
    torch.save(content, folder / "checkpoint_final.pth")
    return folder / "checkpoint_final.pth"


def test_a_checkpoint_with_nnunets_log_is_read(tmp_path, content):
    read = read_checkpoint(saved(tmp_path, content))
    assert (read.trainer, read.configuration, read.mirror_axes) == ("nnUNetTrainer", NAME, (0, 1, 2))
    assert read.weights.keys() == content["network_weights"].keys()


@pytest.mark.parametrize(
    "entry",
    [
        np.uint8(3),
        np.int16(-3),
        np.longdouble(0.5),
        np.datetime64("2026-01-01"),
        np.str_("text"),
        np.arange(6.0).reshape(2, 3),
        np.array(["a", None], dtype=object),
        np.zeros(2, dtype=[("a", "u1"), ("b", "f4")]),
        defaultdict(list, {"dice": [0.5]}),
        defaultdict(dict, {0: {"dice": np.float16(0.5)}}),
        defaultdict(float, {"dice": 0.5}),
        defaultdict(int),
        defaultdict(None, {"dice": 0.5}),
    ],
)
def test_what_trainers_of_ones_own_log_is_passed_over(tmp_path, content, entry):
    content["logging"] = {"mine": [entry], "optimizer": entry}
    path = saved(tmp_path, content)
    assert read_checkpoint(path).configuration == NAME
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert read_checkpoint(path).configuration == NAME


def test_nothing_of_numpy_is_called(tmp_path, content, monkeypatch):
    """What a pickle may do to arrays and types of numbers is enough to reach into memory."""
    content["logging"] = [np.float64(0.5), np.zeros(2), np.dtype([("a", "O")])]
    read = torch_content(saved(tmp_path, content))
    assert [type(entry).__name__ for entry in read["logging"]] == ["PassedOver"] * 3


def torch_content(path):
    with torch.serialization.safe_globals(ALLOWED):
        return torch.load(path, weights_only=True)


def test_another_pickle_protocol_is_named(tmp_path, content):
    path = tmp_path / "checkpoint_final.pth"
    torch.save(content, path, pickle_protocol=4)
    with pytest.raises(InputError, match=r"pickle protocol[\s\S]*torch\.save"):
        read_checkpoint(path)


@pytest.mark.parametrize("protocol", [0, 1, 3, 4, 5])
def test_what_a_pickle_of_another_protocol_names_is_told(tmp_path, content, protocol):
    """The advice must not be to run it."""
    target = tmp_path / "made"
    content["logging"] = {"twice": [small.Payload(target), small.Payload(target)]}
    path = tmp_path / "checkpoint_final.pth"
    torch.save(content, path, pickle_protocol=protocol)
    with pytest.raises(InputError, match=r"names .*pathlib\S+, .*which could run code") as caught:
        read_checkpoint(path)
    assert "weights_only" not in str(caught.value)
    assert not target.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02(S'touch made'\nios\nsystem\n.",
        b"\x80\x02(cos\nsystem\nS'touch made'\no.",
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x8c\x01x\x85R.",
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x8c\x01x0h\x00h\x01\x93\x8c\x01x\x85R.",
    ],
    ids=["INST", "OBJ", "STACK_GLOBAL", "STACK_GLOBAL of what was kept"],
)
def test_names_in_rare_opcodes_are_told(tmp_path, content, pickled):
    path = rewritten(saved(tmp_path, content), lambda name, data: pickled if name.endswith("data.pkl") else data)
    with pytest.raises(InputError, match=r"os\.system.*nothing of it was run"):
        read_checkpoint(path)


def test_an_archive_that_unpacks_to_much_more_than_itself_is_refused_before_that(tmp_path, content):
    content["optimizer_state"] = {"momentum_buffer": torch.zeros(2**23)}
    path = rewritten(saved(tmp_path, content), lambda _, data: data, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"bytes that unpack to 33,\d+,\d+, as no weights do"):
            read_checkpoint(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**23


def test_numbers_that_an_older_numpy_wrote_are_read(tmp_path, content):
    path = saved(tmp_path, content)
    raw = path.read_bytes()
    assert b"numpy._core.multiarray" in raw
    content["logging"] = {"older": [np.float64(0.5)]}
    renamed = _with_older_names(content, tmp_path)
    assert read_checkpoint(renamed).configuration == NAME


def _with_older_names(content: object, folder: Path) -> Path:
    """The same file with the name that NumPy's scalars had before NumPy 2."""

    def renamed(name: str, data: bytes) -> bytes:
        if not name.endswith("data.pkl"):
            return data
        assert b"numpy._core.multiarray" in data
        return data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")

    return rewritten(saved(folder, content), renamed)


def rewritten(path: Path, change, compression: int = zipfile.ZIP_STORED) -> Path:
    """The archive anew, each record as `change` makes it of its name and bytes; checksums are right."""
    target = path.with_name("rewritten.pth")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", compression) as made:
        for entry in source.infolist():
            made.writestr(entry.filename, change(entry.filename, source.read(entry)))
    return target


@pytest.mark.parametrize("place", ["logging", "optimizer_state", "network_weights", "init_args"])
def test_a_malicious_checkpoint_is_refused_and_runs_nothing(tmp_path, content, place):
    target = tmp_path / "made"
    content[place] = {"x": small.Payload(target)}
    path = saved(tmp_path, content)
    with pytest.raises(InputError, match=r"pathlib.*nothing of it was run"):
        read_checkpoint(path)
    assert not target.exists()
    torch.load(path, weights_only=False)  # as nnU-Net loads it
    assert target.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_plain_pickle_is_refused_and_runs_nothing(tmp_path, protocol):
    path = tmp_path / "checkpoint_final.pth"
    path.write_bytes(pickle.dumps({"network_weights": small.Payload(tmp_path / "made")}, protocol))
    with pytest.raises(InputError, match=r"no file of torch\.save.*nothing of it was run"):
        read_checkpoint(path)
    assert not (tmp_path / "made").exists()


def test_the_format_before_torch_1_6_is_read_and_refused_if_malicious(tmp_path, content):
    path, target = tmp_path / "checkpoint_final.pth", tmp_path / "made"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    weights = read_checkpoint(path).weights
    assert all(torch.equal(value, content["network_weights"][name]) for name, value in weights.items())
    torch.save({**content, "logging": small.Payload(target)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"names \w+, which could run code on this machine; nothing of it was run"):
        read_checkpoint(path)
    assert not target.exists()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"network_weights": {}}, "no network_weights"),
        ({"network_weights": {"a": 1}}, "no tensors"),
        ({"network_weights": {"a": torch.eye(2).to_sparse()}}, "no tensors"),
        ({"init_args": None}, "no init_args"),
        ({"inference_allowed_mirroring_axes": (3,)}, "mirroring_axes"),
        ({"inference_allowed_mirroring_axes": [[0]]}, "mirroring_axes"),
        ({"inference_allowed_mirroring_axes": (0, True)}, "mirroring_axes"),
        ({"inference_allowed_mirroring_axes": (1, 1)}, "mirroring_axes"),
        ({"inference_allowed_mirroring_axes": torch.arange(2)}, "mirroring_axes"),
        ({"network_weights": {"a": torch.zeros(2, device="meta")}}, "no tensors"),
        ({"network_weights": {"a": torch.zeros(2, dtype=torch.int32)}}, "no tensors"),
        ({"network_weights": {"a": torch.zeros(0)}}, "none with all their numbers: a"),
        ({"network_weights": {"a": torch.zeros(1).expand(10**6, 10**6)}}, "none with all their numbers: a"),
        ({"network_weights": {"a\x1b[2J": 1}}, r"no tensors.*'a\\x1b\[2J'"),
        ({"trainer_name": None}, "trainer_name of type NoneType"),
        ({"trainer_name": "nnUNetTrainer\x1b[2J"}, r"trainer_name 'nnUNetTrainer\\x1b\[2J'"),
        ({"trainer_name": "two\nlines"}, r"trainer_name 'two\\nlines'"),
        ({"trainer_name": "A" * 300}, r"trainer_name A{100}, which"),
        ({"init_args": {"configuration": 3}}, "configuration of type int"),
        ({"init_args": {"configuration": "../3d_fullres"}}, "configuration ../3d_fullres, which"),
        ({"init_args": {"configuration": "a" * 300}}, "configuration a{100}, which"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content, change, found):
    with pytest.raises(InputError, match=found):
        read_checkpoint(saved(tmp_path, content | change))


def test_damaged_and_absent_files_are_refused(tmp_path, content):
    path = saved(tmp_path, content)
    whole = path.read_bytes()
    for kept in (0, 10, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError):
            read_checkpoint(path)
    with pytest.raises(InputError, match="no such file"):
        read_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(InputError, match="a list"):
        read_checkpoint(saved(tmp_path, [1, 2]))


def test_weights_that_changed_on_the_way_are_refused(tmp_path, content):
    """torch.load takes them: it compares no checksum."""
    path = saved(tmp_path, content)
    raw = bytearray(path.read_bytes())
    name, largest = max(content["network_weights"].items(), key=lambda item: item[1].numel())
    place = raw.index(largest.numpy().tobytes())
    raw[place + 8] ^= 0x40
    path.write_bytes(raw)
    taken = torch.load(path, mmap=True, weights_only=False)["network_weights"][name]
    assert not torch.equal(taken, largest)
    with pytest.raises(InputError, match=r"damaged: the checksum of its record \S+ is wrong"):
        read_checkpoint(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("change", [lambda data: data[:-8], lambda data: data + data, lambda _: b""])
def test_weights_of_another_size_than_their_record_are_refused(tmp_path, content, change, compression):
    """torch.load takes them from what follows in the file: it looks at no size where it maps the file."""
    path = rewritten(
        saved(tmp_path, content),
        lambda name, data: change(data) if name.endswith("/data/3") else data,
        compression,
    )
    if compression == zipfile.ZIP_STORED:
        assert torch.load(path, mmap=True, weights_only=False)["network_weights"]
    with pytest.raises(InputError, match=r"damaged: (a record of network_weights is shorter or longer|record size)"):
        read_checkpoint(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_that_was_packed_anew_is_read(tmp_path, content, compression):
    content["optimizer_state"] = {"momentum_buffer": torch.arange(64.0)}
    path = rewritten(saved(tmp_path, content), lambda _, data: data, compression)
    weights = read_checkpoint(path).weights
    assert all(torch.equal(value, content["network_weights"][name]) for name, value in weights.items())


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch wants to be rid of them
def test_quantized_weights_are_refused(tmp_path, content):
    content["network_weights"]["a"] = torch.quantize_per_tensor(torch.ones(4), 0.5, 0, torch.qint8)
    with pytest.raises(InputError, match=r"network_weights that are no tensors of floats.*: a"):
        read_checkpoint(saved(tmp_path, content))


@pytest.mark.parametrize("place", ["trainer_name", "inference_allowed_mirroring_axes", "configuration"])
def test_lists_that_hold_one_list_many_times_take_no_time(tmp_path, content, place):
    """As text such a value would be of 2^60 characters."""
    nested: list[object] = [0]
    for _ in range(60):
        nested = [nested, nested]
    (content["init_args"] if place == "configuration" else content)[place] = nested
    with pytest.raises(InputError, match=place):
        read_checkpoint(saved(tmp_path, content))


def with_weights(content, plan, **changes):
    checkpoint = Checkpoint(
        trainer="t", configuration=NAME, mirror_axes=(), weights=dict(content["network_weights"]) | changes
    )
    return fitted_weights(checkpoint, plan, plan.configuration(NAME), path=Path("checkpoint_final.pth"))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_of_compiled_networks_and_of_several_gpus_are_understood(content, plan, prefix):
    plain = with_weights(content, plan)
    content["network_weights"] = {prefix + name: one for name, one in content["network_weights"].items()}
    found = with_weights(content, plan)
    assert list(found) == list(plain)
    assert all(torch.equal(one, plain[name]) for name, one in found.items())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_one_tensor_under_two_names_is_refused(content, plan, prefix):
    name = "encoder.stages.0.0.convs.0.conv.weight"
    twin = {prefix + name: content["network_weights"][name].clone()}
    with pytest.raises(InputError, match=rf"{name} and {prefix}{name}, which are one tensor[\s\S]*try: "):
        with_weights(content, plan, **twin)


def test_weights_that_are_not_the_networks_are_refused(content, plan):
    first = "encoder.stages.0.0.convs.0.conv.weight"
    whole = with_weights(content, plan)
    assert all(torch.equal(value, content["network_weights"][name]) for name, value in whole.items())
    with pytest.raises(InputError, match=r"does not have, encoder\.extra"):
        with_weights(content, plan, **{"encoder.extra": torch.zeros(1)})
    with pytest.raises(ArtifactError, match="do not fit"):
        with_weights(content, plan, **{first: torch.zeros(4, 1, 3, 3, 3)})
    with pytest.raises(InputError, match="differs from the entry that it repeats"):
        with_weights(content, plan, **{f"decoder.{first}": torch.ones_like(whole[first])})
    terabytes = torch.zeros(1, dtype=torch.float64).expand(10**6, 10**6)
    with pytest.raises(ArtifactError, match="do not fit"):
        with_weights(content, plan, **{first: terabytes})
    with pytest.raises(InputError, match="differs from the entry that it repeats"):
        with_weights(content, plan, **{f"decoder.{first}": terabytes})
    with pytest.raises(InputError, match="not finite"):
        with_weights(content, plan, **{first: whole[first].double().fill_(1e300)})
    bad = {first: whole[first] * float("inf")}
    with pytest.raises(InputError, match=r"not finite|not a number"):
        with_weights(content, plan, **bad)
    del content["network_weights"][first]
    with pytest.raises(ArtifactError, match="do not fit"):
        with_weights(content, plan)


def test_what_is_written_is_read_back(tmp_path, content, plan):
    weights = with_weights(content, plan)
    configuration = plan.configuration(NAME).model_copy(update={"mirror_axes": (1, 2)})
    write_checkpoint(tmp_path / "a.pth", plan, configuration, weights, trainer="nnUNetTrainer")
    back = read_checkpoint(tmp_path / "a.pth")
    assert (back.trainer, back.configuration, back.mirror_axes) == ("nnUNetTrainer", NAME, (1, 2))
    assert back.weights.keys() == content["network_weights"].keys()
    assert all(torch.equal(value, content["network_weights"][name]) for name, value in back.weights.items())
