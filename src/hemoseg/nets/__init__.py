"""Networks, built from a plan. torch is loaded by what needs it, as it may not be installed."""

from typing import TYPE_CHECKING, Any

from hemoseg.nets.process import deterministic, keep_freed_memory, memory_errors, use_threads

if TYPE_CHECKING:
    from hemoseg.nets.build import build_network

__all__ = ["build_network", "deterministic", "keep_freed_memory", "memory_errors", "use_threads"]


def __getattr__(name: str) -> Any:
    if name != "build_network":
        raise AttributeError(f"module 'hemoseg.nets' has no attribute {name!r}")
    from hemoseg.nets.build import build_network

    return build_network
