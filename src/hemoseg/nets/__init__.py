"""Networks, built from a plan."""

from hemoseg.nets.build import build_network
from hemoseg.nets.process import deterministic, keep_freed_memory, memory_errors, use_threads

__all__ = ["build_network", "deterministic", "keep_freed_memory", "memory_errors", "use_threads"]
