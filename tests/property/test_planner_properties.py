"""What holds for the head-CT planner whatever the data."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprints import case_facts, make_fingerprint
from hemoseg.errors import SettingsError
from hemoseg.plan import Plan, Pooling, Slab
from hemoseg.planning import DeviceTiming, StepTiming, candidates, make_plan
from hemoseg.planning.memory import plan_memory
from hemoseg.settings import Settings, Steps

spacings = st.tuples(st.floats(0.3, 12.0), st.floats(0.2, 4.0), st.floats(0.2, 4.0))
heads = st.tuples(st.integers(1, 400), st.integers(4, 700), st.integers(4, 700))
ranges = st.sampled_from([(-1024.0, 3071.0), (-20.0, 100.0), (0.0, 40.0), (60.0, 130.0), (-400.0, -300.0)])
cases = st.builds(case_facts, spacing_mm=spacings, head=heads, hu=ranges, ml=st.sampled_from([0.0, 0.4, 20.0]))
fingerprints = st.builds(make_fingerprint, st.lists(cases, min_size=1, max_size=4))
configs = st.sampled_from(["auto", "2d", "3d_fullres", "3d_lowres", "cascade"])
poolings = st.none() | st.builds(
    Pooling,
    kind=st.sampled_from(["maximum", "average", "summed-area", "random-area"]),
    factor=st.integers(2, 4),
)
steps = st.builds(
    Steps,
    windows=st.sampled_from([(), ("brain",), ("paper", "wide")]),
    pooling=poolings,
    slice_spacing_mm=st.none() | st.floats(0.5, 8.0),
    slab=st.none() | st.builds(Slab, extend=st.integers(0, 3)),
)
memories = st.floats(0.5, 20.0)


def timed(fingerprint, wanted, base_s):
    """A device on which a step takes time in proportion to features and voxels."""
    device = DeviceTiming(device="cpu", threads=2, bf16=True)
    found = [
        StepTiming.of(item, base_s * item.features[0] * item.batch_size * item.patch_size[1] * item.patch_size[2])
        for rung in candidates(fingerprint, wanted, precision="bf16")
        for item in rung
    ]
    return device.model_copy(update={"steps": tuple(found)})


def planned(fingerprint, wanted, device):
    """The plan, or None where nothing fits the memory."""
    try:
        return make_plan(fingerprint, wanted, device)
    except SettingsError as error:
        if "--memory-gb" not in str(error):
            raise
        return None


def size_of(plan):
    """How large a network is: a plan that was refused is the smallest."""
    if plan is None:
        return (0, 0)
    item = plan.configurations[-1]
    return (item.features[0], item.batch_size * item.patch_size[0] * item.patch_size[1] * item.patch_size[2])


@settings(max_examples=60, deadline=None)
@given(fingerprints, configs, steps, memories)
def test_any_data_set_gets_a_plan_that_fits(fingerprint, config, asked, memory_gb):
    device = DeviceTiming(device="cpu", threads=2, bf16=False)
    wanted = Settings(config=config, steps=asked, memory_gb=memory_gb)
    plan = planned(fingerprint, wanted, device)
    if plan is None:
        assert memory_gb < 4  # the smallest rung of any head is below
        return
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert make_plan(fingerprint, wanted, device) == plan
    assert all(plan_memory(plan, item).total_mb <= 1000 * memory_gb for item in plan.configurations)
    assert all(reason.why and reason.source for reason in plan.reasons)


@settings(max_examples=40, deadline=None)
@given(fingerprints, configs, st.tuples(memories, memories), st.floats(60, 1e6) | st.none())
def test_more_memory_never_gives_a_smaller_network(fingerprint, config, limits, budget_s):
    plans = []
    for memory_gb in sorted(limits):
        wanted = Settings(config=config, memory_gb=memory_gb, budget_s=budget_s)
        try:
            device = timed(fingerprint, wanted, base_s=1e-7)
        except SettingsError:
            plans.append(None)
            continue
        plans.append(planned(fingerprint, wanted, device))
    assert size_of(plans[0]) <= size_of(plans[1])


@settings(max_examples=40, deadline=None)
@given(fingerprints, configs, st.tuples(st.floats(60, 1e6), st.floats(60, 1e6)))
def test_a_larger_budget_never_gives_a_smaller_network(fingerprint, config, budgets):
    wanted = Settings(config=config, budget_s=min(budgets))
    device = timed(fingerprint, wanted, base_s=1e-7)
    less = planned(fingerprint, wanted, device)
    more = planned(fingerprint, wanted.model_copy(update={"budget_s": max(budgets)}), device)
    assert size_of(less) <= size_of(more)
    if size_of(less) == size_of(more) and less is not None and more is not None:
        assert less.configurations[-1].iterations <= more.configurations[-1].iterations
