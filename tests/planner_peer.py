"""The real planners of nnU-Net in a process of their own, and what they and ours say of the same files."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from hemoseg.interop import facts_from_json, parse_dataset_json, write_plans
from hemoseg.plan import Plan, PlannerName
from hemoseg.planning.nnunet import make_nnunet_plan
from hemoseg.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
CLASSES: dict[PlannerName, str] = {
    "nnunet": "ExperimentPlanner",
    "nnunet-resenc-m": "nnUNetPlannerResEncM",
    "nnunet-resenc-l": "nnUNetPlannerResEncL",
    "nnunet-resenc-xl": "nnUNetPlannerResEncXL",
}


class Peer:
    """A process that plans as nnU-Net does, one request after the other."""

    def __enter__(self) -> "Peer":
        command = [str(PYTHON), str(ROOT / "tools" / "nnunet_peer.py")]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def plan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """nnU-Net's answer: {"plans": …} or {"error": …}."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request | {"planner": CLASSES[request["planner"]]}) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def our_plan(request: Mapping[str, Any]) -> Plan:
    """Our plan for the same request."""
    dataset = parse_dataset_json(request["dataset_json"], where="dataset.json")
    facts = facts_from_json(
        dataset, request["fingerprint"], dataset_name=request["dataset_name"], where="dataset_fingerprint.json"
    )
    return make_nnunet_plan(
        facts,
        planner=request["planner"],
        memory_gb=None if request["memory_gb"] is None else float(request["memory_gb"]),
        labels=dataset.classes,
        settings=Settings(),
        precision="fp32",
    )


def our_plans_json(request: Mapping[str, Any]) -> dict[str, Any]:
    """Our plans.json for the same request, as it is read back from a file."""
    content: dict[str, Any] = json.loads(json.dumps(write_plans(our_plan(request))))
    return content


def expand(golden: Mapping[str, Any]) -> dict[str, Any]:
    """The request of a golden, with as many cases as it counts and intensities that differ by channel."""
    dataset = golden["dataset_json"]
    channels = dataset.get("channel_names") or dataset["modality"]
    cases = [(spacing, shape) for spacing, shape, count in golden["cases"] for _ in range(count)]
    return {
        "planner": golden["planner"],
        "memory_gb": golden["memory_gb"],
        "dataset_name": "Dataset001_" + golden["name"],
        "dataset_json": dataset,
        "fingerprint": {
            "spacings": [list(spacing) for spacing, _ in cases],
            "shapes_after_crop": [list(shape) for _, shape in cases],
            "foreground_intensity_properties_per_channel": {
                str(index): intensity(index) for index in range(len(channels))
            },
            "median_relative_size_after_cropping": golden["relative_size"],
        },
    }


def intensity(index: int) -> dict[str, float]:
    """Invented foreground intensities of a channel."""
    return {
        "max": 100.5 + index,
        "mean": 50.25 + index,
        "median": 50.0 + index,
        "min": -3.0 - index,
        "percentile_00_5": 7.125,
        "percentile_99_5": 92.0,
        "std": 12.1,
    }
