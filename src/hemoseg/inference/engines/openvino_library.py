"""OpenVINO, loaded so that it tells nobody.

Its package brings `openvino_telemetry` along, which writes `~/intel` and reports every import to Google Analytics. As
OpenVINO goes without where that package cannot be imported, it cannot be here while OpenVINO is loaded.
"""

import sys
from functools import cache

TELEMETRY = "openvino_telemetry"

_before = {TELEMETRY: sys.modules[TELEMETRY]} if TELEMETRY in sys.modules else {}
sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # how Python is told that there is no such module
try:
    import openvino
    from openvino import Node, opset13
finally:
    del sys.modules[TELEMETRY]
    sys.modules.update(_before)

__all__ = ["Node", "one_core", "openvino", "opset13"]


@cache
def one_core() -> openvino.Core:
    """OpenVINO's only core in this process.

    On a CPU with AMX each core gives its thread another stack for signals. Cores that end in the order in which they
    began leave it on one that is freed, and the next signal, be it Ctrl-C, is a segmentation fault.
    """
    return openvino.Core()
