"""Heads with simulated bleeds of exactly known volume: for demonstration and tests, never for training."""

from hemoseg.phantom.make import TABLE, Phantom, demo_specs, make_phantom
from hemoseg.phantom.spec import PhantomSpec

__all__ = ["TABLE", "Phantom", "PhantomSpec", "demo_specs", "make_phantom"]
