"""Networks, built from a plan."""

from hemoseg.nets.build import build_network, keep_freed_memory

__all__ = ["build_network", "keep_freed_memory"]
