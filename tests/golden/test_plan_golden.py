"""Plans of typical data sets: did a decision move?"""

import pytest

from fingerprints import case_facts, make_fingerprint
from hemoseg.planning import DeviceTiming, make_plan
from hemoseg.settings import Settings

COHORTS = {
    "thick-clipped": ((5.0, 0.94, 0.94), (30, 200, 176), (-20.0, 100.0), "auto"),
    "thick-fine-pixels": ((5.0, 0.45, 0.45), (32, 436, 380), (-1024.0, 3071.0), "auto"),
    "thin": ((0.625, 0.45, 0.45), (258, 436, 380), (-1024.0, 3071.0), "auto"),
    "few-slices": ((5.0, 0.45, 0.45), (5, 436, 380), (-1024.0, 3071.0), "auto"),
    "small-grid": ((5.0, 3.5, 3.5), (30, 57, 45), (-1024.0, 3071.0), "auto"),
    "lowres": ((5.0, 0.45, 0.45), (32, 436, 380), (-1024.0, 3071.0), "3d_lowres"),
    "cascade": ((2.5, 0.49, 0.49), (60, 420, 360), (-1024.0, 3071.0), "cascade"),
    "two-d": ((3.0, 0.6, 0.5), (50, 330, 350), (-1024.0, 3071.0), "2d"),
}


@pytest.mark.parametrize("name", COHORTS)
def test_plan_is_unchanged(name, golden):
    spacing, head, (low, high), config = COHORTS[name]
    case = case_facts(spacing_mm=spacing, head=head, hu=(low, high), ml=0)
    fingerprint = make_fingerprint([case], dataset_name=name)
    device = DeviceTiming(device="cpu", threads=2, bf16=False)
    plan = make_plan(fingerprint, Settings(iterations=1000, config=config), device)
    golden(f"plan-{name}", plan.model_dump(mode="json"))
