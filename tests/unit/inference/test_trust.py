"""Which engine runs a model, and what happens where one fails or gives wrong logits."""

from time import process_time

import numpy as np
import pytest

from bundles import write_tiny_bundle
from hemoseg.errors import ResourceError, SettingsError
from hemoseg.inference import load_model, trust
from hemoseg.inference.agreement import measure_agreement
from hemoseg.inference.engines import choice
from hemoseg.inference.engines.choice import candidates
from hemoseg.inference.limits import Limits
from plans import head_volume, tiny_configuration, tiny_plan

FULL, HALF, TORCH = "openvino-fp32", "openvino-bf16", "torch-fp32"


def names(plan_precision="fp32", asked="auto", *, device="cpu", exact=False, measured=None):
    configuration = tiny_configuration(precision=plan_precision)
    found = candidates(configuration, asked, device=device, exact=exact, measured={HALF: measured}.get)
    return [engine.name for engine in found]


@pytest.fixture
def native(monkeypatch):
    monkeypatch.setattr(choice, "has_native_bf16", lambda: True)


@pytest.mark.usefixtures("native")
def test_the_engine_follows_plan_device_and_what_was_measured():
    assert names() == [FULL, TORCH]
    assert names("bf16") == names(measured=0.04) == [HALF, FULL, TORCH]
    assert names(measured=0.06) == [FULL, TORCH]
    assert names("bf16", "openvino") == [HALF, FULL]
    assert names("bf16", "torch") == ["torch-bf16", TORCH]
    assert names("fp32", "torch") == [TORCH]
    assert names("bf16", device="cuda") == ["torch-bf16-cuda"]
    assert names("bf16", exact=True) == [TORCH]


def test_a_cpu_without_bf16_computes_in_float32(monkeypatch):
    monkeypatch.setattr(choice, "has_native_bf16", lambda: False)
    assert names("bf16") == [FULL, TORCH]
    assert names("bf16", "torch") == [TORCH]


@pytest.mark.parametrize("options", [{"device": "cuda"}, {"exact": True}])
def test_openvino_is_neither_exact_nor_on_cuda(options):
    with pytest.raises(SettingsError, match="leave out --engine"):
        names(asked="openvino", **options)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A model that was measured in bf16 too; where the CPU lacks it, OpenVINO computes in float32 when asked for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hemoseg.inference.agreement.has_native_bf16", lambda: True)
        return write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny", measure=measure_agreement)


@pytest.fixture
def engines(monkeypatch, tmp_path):
    """{engine: what alters its logits} and the engines that computed, in order. No bf16, and the cache is empty."""
    monkeypatch.setattr(choice, "has_native_bf16", lambda: False)
    monkeypatch.setattr(trust, "cache_folder", lambda: tmp_path / "cache")
    load, altered, calls = trust.load_network, {}, []

    def spoilt(plan, configuration, weights, *, engine):
        network = load(plan, configuration, weights, engine=engine)

        def run(patches):
            calls.append(engine.name)
            return altered.get(engine.name, lambda logits: logits)(network(patches))

        return run

    monkeypatch.setattr(trust, "load_network", spoilt)
    return altered, calls


def broken(_):
    raise RuntimeError("no such instruction")


@pytest.mark.parametrize(
    ("alter", "told"),
    [
        (lambda logits: logits[:, ::-1].copy(), "gives wrong logits here: 1 off, at most 0.05"),
        (lambda logits: logits * np.nan, "gives wrong logits here: inf off, at most 0.05"),
        (broken, "does not work here: no such instruction"),
    ],
    ids=["wrong", "nan", "broken"],
)
def test_an_engine_that_fails_falls_back_with_a_word_in_the_result(bundle, engines, alter, told):
    engines[0][FULL] = alter
    model = load_model(bundle)
    assert model.identity.engine == TORCH
    found = model.segment(head_volume())
    expected = load_model(bundle, engine="torch").segment(head_volume())
    assert np.array_equal(found.labels, expected.labels)
    (warning,) = set(found.warnings) - set(expected.warnings)
    assert f"engine {FULL} {told}" in warning
    assert warning.endswith("torch-fp32 was used instead")


@pytest.mark.usefixtures("native")
def test_a_library_that_lacks_is_told_as_such_with_two_precisions_too(bundle, monkeypatch):
    def lacking(*_, engine):
        raise SettingsError("torch is not installed", where=engine.name, expected="it", remedy="install it")

    monkeypatch.setattr(trust, "load_network", lacking)
    plan = tiny_plan(tiny_configuration(precision="bf16"))
    with pytest.raises(SettingsError, match="torch is not installed"):
        load_model(write_tiny_bundle(bundle.with_name("half"), plan=plan), engine="torch")


def test_where_no_engine_works_nothing_is_segmented(bundle, engines):
    engines[0][FULL] = broken
    with pytest.raises(ResourceError, match=r"does not work here: no such instruction\n.*\n.*hemoseg\[train\]"):
        load_model(bundle, engine="openvino")


def test_the_patch_is_computed_once_per_machine(bundle, engines, tmp_path):
    load_model(bundle)
    assert engines[1] == [FULL]
    load_model(bundle)
    assert engines[1] == [FULL]
    (place,) = (tmp_path / "cache").iterdir()
    for number, damaged in enumerate(("{damaged", '{"deviation": NaN, "cpu_s": 1}'), start=2):
        place.write_text(damaged)
        load_model(bundle)
        assert engines[1] == [FULL] * number


@pytest.mark.parametrize("limit_gb", [None, 4.0])
def test_networks_are_lean_where_memory_is_limited(bundle, engines, monkeypatch, limit_gb):
    load, seen = trust.load_network, []
    monkeypatch.setattr(
        trust, "load_network", lambda *args, engine: seen.append(engine.lean) or load(*args, engine=engine)
    )
    load_model(bundle, limits=Limits(max_memory_gb=limit_gb))
    assert seen == [limit_gb is not None]


def slow(logits):
    """Takes as much of the CPU as no tiny network does."""
    began = process_time()
    while process_time() - began < 0.5:
        pass
    return logits


@pytest.mark.parametrize(("slower", "faster"), [(HALF, FULL), (FULL, HALF)])
def test_of_two_precisions_the_faster_one_is_used(bundle, engines, monkeypatch, slower, faster):
    monkeypatch.setattr(choice, "has_native_bf16", lambda: True)
    altered, calls = engines
    altered[slower] = slow
    model = load_model(bundle)
    assert model.identity.engine == faster
    assert [stage.configuration.precision for stage in model.stages] == [faster.removeprefix("openvino-")]
    assert sorted(calls) == sorted([HALF, FULL])
    assert load_model(bundle).identity.engine == faster
    assert len(calls) == 2, "what was timed is remembered"


def test_a_faster_precision_that_gives_wrong_logits_is_passed_over(bundle, engines, monkeypatch):
    monkeypatch.setattr(choice, "has_native_bf16", lambda: True)
    altered, _ = engines
    altered |= {HALF: lambda logits: logits[:, ::-1].copy(), FULL: slow}
    model = load_model(bundle)
    assert model.identity.engine == FULL
    assert any("openvino-bf16 gives wrong logits here" in text for text in model.warnings)


def test_a_precision_that_does_not_run_is_passed_over(bundle, engines, monkeypatch):
    monkeypatch.setattr(choice, "has_native_bf16", lambda: True)
    engines[0][HALF] = broken
    assert load_model(bundle).identity.engine == FULL


def test_a_machine_without_a_cache_computes_it_each_time(bundle, engines, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for place in (None, tmp_path / "file" / "cache"):
        monkeypatch.setattr(trust, "cache_folder", lambda place=place: place)
        load_model(bundle)
    assert engines[1] == [FULL, FULL]


def test_other_versions_and_models_are_measured_anew(bundle, engines, monkeypatch, tmp_path):
    load_model(bundle)
    monkeypatch.setattr(trust, "version", lambda _: "another")
    load_model(bundle)
    load_model(write_tiny_bundle(tmp_path / "other", folds=(1,), measure=measure_agreement))
    assert len(engines[1]) == len(list((tmp_path / "cache").iterdir())) == 3


def test_a_bundle_without_a_patch_still_runs(engines, tmp_path):
    model = load_model(write_tiny_bundle(tmp_path / "earlier"))
    assert model.identity.engine == FULL
    assert not engines[1]


def test_the_reference_needs_no_test(bundle, engines):
    load_model(bundle, engine="torch")
    assert not engines[1]
