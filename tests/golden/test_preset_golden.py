"""The published system on a typical data set: did a decision, or what is marked as assumed, move?"""

import pytest

from fingerprints import case_facts, make_fingerprint
from hemoseg.planning import DeviceTiming, make_plan
from hemoseg.settings import Settings
from stepped import stepped_facts


@pytest.mark.parametrize("preset", ["paper", "paper-swapped"])
def test_preset_is_unchanged(preset, golden):
    """100 scans of 32 x 512 x 512 voxels at 5 x 0.45 x 0.45 mm, as in the challenge."""
    data = make_fingerprint([case_facts(spacing_mm=(5.0, 0.45, 0.45), head=(30, 450, 380))] * 100)
    settings = Settings(preset=preset)
    facts = stepped_facts(data, settings, spacing_mm=(1.0, 0.9, 0.9), shape=(150, 225, 190), relative_size=0.55)
    plan = make_plan(data, settings, DeviceTiming(device="cpu", threads=2, bf16=False), facts)
    golden(f"plan-preset-{preset}", plan.model_dump(mode="json"))
