"""Which planner makes the plan."""

from hemoseg.plan import Plan
from hemoseg.planning.device import DeviceTiming
from hemoseg.planning.fingerprint import Fingerprint
from hemoseg.planning.headct import make_headct_plan
from hemoseg.settings import Settings


def make_plan(fingerprint: Fingerprint, settings: Settings, device: DeviceTiming) -> Plan:
    """The plan of a run. Pure: the same inputs give the same plan.

    Args:
        fingerprint: the data set in numbers.
        settings: what the user decided.
        device: what was measured of the machine; its timings matter only with a budget.
    """
    return make_headct_plan(fingerprint, settings, device)
