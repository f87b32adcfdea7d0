"""The test patch, and how far engines are from torch on it."""

import numpy as np
import pytest

from bundles import write_tiny_bundle
from hemoseg.errors import ArtifactError
from hemoseg.inference import agreement
from hemoseg.inference.agreement import REFERENCE, deviation, draw_patch, measure_agreement, measure_anew
from hemoseg.inference.engines.choice import load_network
from hemoseg.models import open_bundle, sampled
from plans import tiny_configuration, tiny_plan

CASCADE = (
    tiny_configuration(name="3d_lowres", spacing_mm=(5.0, 4.0, 4.0)),
    tiny_configuration(name="3d_cascade_fullres", previous_stage="3d_lowres"),
)
FLAT = tiny_configuration(
    name="2d",
    dimensions=2,
    spacing_mm=(None, 1.0, 1.0),
    patch_size=(1, 32, 32),
    kernels=((1, 3, 3), (1, 3, 3)),
)


def test_a_deviation_is_relative_to_the_spread_of_what_was_expected():
    expected = np.array([[3.0, 7.0]], np.float32)  # standard deviation 2
    assert deviation(expected + 1, expected) == pytest.approx(0.5)
    assert deviation(expected * np.nan, expected) == np.inf


@pytest.mark.parametrize("configuration", [tiny_configuration(), FLAT, CASCADE[1]], ids=lambda item: item.name)
def test_the_patch_shows_air_brain_and_blood(configuration):
    plan = tiny_plan(CASCADE[0], configuration)
    patch = draw_patch(plan, configuration)
    assert patch.shape == (plan.input_channels(configuration), *configuration.patch_size)
    assert np.array_equal(patch, draw_patch(plan, configuration))
    brain_window = patch[0]
    assert (brain_window == -1).mean() > 0.05, "air"
    assert (brain_window == 1).mean() > 0.02, "skull"
    assert (np.abs(brain_window - (65 / 40 - 1)) < 0.3).mean() > 0.005, "blood"
    if configuration.previous_stage:
        assert 0.005 < patch[2].mean() < 0.2
        assert not patch[3].any()


def test_samples_lie_all_over_the_patch():
    z, y, x = np.meshgrid(np.arange(16), np.arange(96), np.arange(96), indexing="ij")
    found = sampled(np.stack([z, y, x]).astype(np.float32))
    assert found.shape == (3, 4096)
    assert [len(np.unique(axis)) for axis in found] == [16, 96, 96]
    assert sampled(np.zeros((2, 1, 3, 5), np.float32)).shape == (2, 15)


def test_the_figures_are_in_the_bundle_with_the_patch(tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny", plan=tiny_plan(*CASCADE), measure=measure_agreement)
    bundle = open_bundle(folder)
    assert {item.configuration for item in bundle.agreement.engines} == {"3d_lowres", "3d_cascade_fullres"}
    for configuration in bundle.stages:
        assert 0 < bundle.agreement.deviation(configuration.name, "openvino-fp32") < 1e-4
        patch = bundle.test_patch(configuration.name)
        network = load_network(bundle.plan, configuration, bundle.weights(configuration)[0], engine=REFERENCE)
        logits = network(patch.channels[np.newaxis].astype(np.float32))[0]
        assert np.allclose(sampled(logits), patch.logits, atol=1e-5)
    assert bundle.agreement.deviation("3d_lowres", "another") is None


def test_a_damaged_patch_is_refused(tmp_path):
    folder = write_tiny_bundle(tmp_path / "tiny", measure=measure_agreement)
    bundle = open_bundle(folder)
    with pytest.raises(ArtifactError, match=r"agreement.npz.*\n.*test patch of 2d"):
        bundle.test_patch("2d")
    (folder / "agreement.npz").write_bytes(b"PK")
    with pytest.raises(ArtifactError, match="SHA-256"):
        open_bundle(folder)


def test_networks_that_were_measured_are_not_measured_again(tmp_path, monkeypatch):
    folder = write_tiny_bundle(tmp_path / "tiny", measure=measure_agreement)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    calls = []
    monkeypatch.setattr(agreement, "measure_agreement", lambda *_: calls.append(1))
    write_tiny_bundle(folder, measure=measure_anew(folder))
    assert not calls
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    write_tiny_bundle(folder, plan=tiny_plan(seed=5), folds=(1,), measure=measure_anew(folder))
    assert calls == [1]
    assert open_bundle(folder).agreement is None
