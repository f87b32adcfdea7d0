"""OpenVINO, loaded so that it tells nobody.

Its package brings `openvino_telemetry` along, which writes `~/intel` and reports every import to Google Analytics. As
OpenVINO goes without where that package cannot be imported, it cannot be here while OpenVINO is loaded.
"""

import sys

TELEMETRY = "openvino_telemetry"

_before = {TELEMETRY: sys.modules[TELEMETRY]} if TELEMETRY in sys.modules else {}
sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # how Python is told that there is no such module
try:
    import openvino
    from openvino import Node, opset13
finally:
    del sys.modules[TELEMETRY]
    sys.modules.update(_before)

__all__ = ["Node", "openvino", "opset13"]
