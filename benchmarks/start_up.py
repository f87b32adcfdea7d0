"""How large is an installation without training, and how soon is it at work, beside nnU-Net's?

Run: python benchmarks/start_up.py --data DATA --out runs/bench-start-up

Ours is installed anew into `out/venv`, as `pip install hemoseg` does it: without torch. The peer is `.venv-peers`
(`make peers`), whose torch is the build that its index offers; for CUDA it takes several gigabytes more. Sizes are
those of the installed files, pip and setuptools left out.

Started are `hemoseg --help` and `nnUNetv2_predict -h`, in turn, each some rounds after one that is not counted; what
a first start after a reboot takes from the disk is not measured. Then `hemoseg segment` on a scan of 30 x 512 x 512
voxels with the embedded model: from process start to its end, without the seconds that the report says the network
took. The peer has no such figure: it does not tell its network's time. A first segment, not counted, tries the engine.

`ratio` is the peer's start over ours, `floor_ratio` our start over that of Python itself, `agree` whether the mask is
the same as that of the installation this script runs in, which has torch.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from measure import Cost, finish, is_disturbed, make_parser, measure_command, median_cost
from rich.console import Console
from rich.table import Table
from workload import write_workload

from hemoseg.errors import ArtifactError
from hemoseg.io import scan_name

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-peers"
OURS_HERE = Path(sys.executable).with_name("hemoseg")
ROUNDS = 5
TOOLS = ("pip", "setuptools", "wheel", "_distutils_hack")
"""What a virtual environment brings of its own."""
OWN = {"PYTHONPATH": ""}
"""Each side runs what is installed, not what this script was started with."""
CPU_CLOCK = """
import atexit, sys, time
time.monotonic = time.process_time
atexit.register(lambda: print("CPU", time.process_time(), file=sys.stderr))
sys.argv[0] = "hemoseg"
from hemoseg.__main__ import main
main()
"""
"""`hemoseg` whose clock counts seconds of CPU: what its report says then does not depend on other programs."""


def install(target: Path) -> float:
    """Install hemoseg into a new virtual environment; the seconds that took."""
    shutil.rmtree(target, ignore_errors=True)
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", target], check=True)
    pip = [str(target / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    constraint = str(ROOT / "constraints.txt")
    environment = {**os.environ, "PIP_CONSTRAINT": constraint, "PIP_BUILD_CONSTRAINT": constraint}
    subprocess.run([*pip, str(ROOT)], check=True, env=environment)
    return time.monotonic() - began


def package_sizes_mb(venv: Path) -> dict[str, float]:
    """{package or file in site-packages: 10^6 bytes}, the largest first."""
    (packages,) = (venv / "lib").glob("python*/site-packages")
    sizes = {
        path.name: sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file()) / 1e6
        for path in packages.iterdir()
        if not path.name.startswith(TOOLS)
    }
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def segment_costs(program: Path, scan: Path, out: Path) -> tuple[list[Cost], list[float]]:
    """Cost of each round from process start to end, and its seconds outside the network; the first is not counted."""
    command = [str(program), "segment", str(scan), "--out", str(out), "--json"]
    costs, rest = [], []
    for _ in range(ROUNDS + 1):
        cost = measure_command(command, OWN, out / "segment.log", memory=False)
        report = json.loads((out / scan_name(scan) / "report.json").read_text())
        costs.append(cost)
        rest.append(cost.wall_s - report["seconds"]["network"])
    return costs[1:], rest[1:]


def cpu_outside_network(python: Path, scan: Path, out: Path) -> float:
    """Seconds of CPU that one segment takes outside the network."""
    command = [str(python), "-c", CPU_CLOCK, "segment", str(scan), "--out", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **OWN})
    (total,) = (float(line.split()[1]) for line in done.stderr.splitlines() if line.startswith("CPU "))
    report = json.loads((out / scan_name(scan) / "report.json").read_text())
    return total - float(report["seconds"]["network"])


def start_costs(commands: dict[str, list[str]], out: Path) -> tuple[dict[str, Cost], dict[str, float]]:
    """Median cost and peak memory of each command; they take turns, and the first round is not counted."""
    costs: dict[str, list[Cost]] = {side: [] for side in commands}
    for _ in range(ROUNDS + 1):
        for side, line in commands.items():
            costs[side].append(measure_command(line, OWN, out / f"{side}.log", memory=False))
    start = {side: median_cost(found[1:]) for side, found in costs.items()}
    memory = {side: measure_command(line, OWN, out / f"{side}.log").peak_mb for side, line in commands.items()}
    return start, memory


def compare(data: Path, out: Path) -> bool:
    """Install, measure, print, and say whether the masks agree."""
    peer = PEERS / "bin" / "nnUNetv2_predict"
    if not peer.is_file():
        raise ArtifactError("no such program", where=peer, expected="nnU-Net beside us", remedy="`make peers`")
    console = Console(highlight=False, soft_wrap=True)
    venv = out / "venv"
    took = install(venv)
    sizes = {"ours": package_sizes_mb(venv), "peer": package_sizes_mb(PEERS)}
    console.print(f"installed in {took:.0f} s; torch there: {'yes' if 'torch' in sizes['ours'] else 'no'}")
    ours = venv / "bin" / "hemoseg"
    start, memory = start_costs(
        {
            "python": [str(venv / "bin" / "python"), "-c", "pass"],
            "ours": [str(ours), "--help"],
            "peer": [str(peer), "-h"],
        },
        out,
    )
    (scan,) = write_workload(data, out / "scans", scans=1)
    segments, rest = segment_costs(ours, scan, out / "results")
    walls = [cost.wall_s for cost in segments]
    outside = median(cpu_outside_network(venv / "bin" / "python", scan, out / "results") for _ in range(ROUNDS))
    table = Table("", "ours", "peer")
    table.add_row("installed, MB", *(f"{sum(sizes[side].values()):.0f}" for side in ("ours", "peer")))
    table.add_row("help, s", *(f"{start[side].wall_s:.2f}" for side in ("ours", "peer")))
    table.add_row("help, CPU s", *(f"{start[side].cpu_s:.2f}" for side in ("ours", "peer")))
    table.add_row("help, peak MB", *(f"{memory[side]:.0f}" for side in ("ours", "peer")))
    console.print(table)
    for side, found in sizes.items():
        console.print(f"{side}, MB: " + ", ".join(f"{name} {mb:.0f}" for name, mb in list(found.items())[:8]))
    console.print(
        f"segment, one scan: {median(walls):.2f} s ({min(walls):.2f} to {max(walls):.2f}), of which outside the "
        f"network {median(rest):.2f} s ({min(rest):.2f} to {max(rest):.2f}); CPU {median_cost(segments).cpu_s:.2f} s, "
        f"outside the network {outside:.2f} s"
    )
    if any(is_disturbed(cost, os.cpu_count() or 1) for cost in (*start.values(), *segments)):
        console.print("warning: other programs were at work; seconds and ratios are not to be relied on, CPU s are")
    agree = is_same_mask(scan, out)
    result = {
        "name": "start_up",
        "ratio": round(start["peer"].wall_s / start["ours"].wall_s, 3),
        "memory_ratio": round(memory["peer"] / memory["ours"], 3),
        "floor_ratio": round(start["ours"].wall_s / start["python"].wall_s, 3),
        "n": ROUNDS,
        "agree": agree,
    }
    print(json.dumps(result))
    return agree


def is_same_mask(scan: Path, out: Path) -> bool:
    """Whether the installation that this script runs in gives the same mask."""
    subprocess.run([OURS_HERE, "segment", scan, "--out", out / "here"], check=True, capture_output=True)
    name = scan_name(scan)
    masks = [(folder / name / "mask.nii.gz").read_bytes() for folder in (out / "results", out / "here")]
    return masks[0] == masks[1]


def main() -> None:
    """Parse, compare, tell."""
    options = make_parser(__doc__).parse_args()
    finish(lambda: compare(options.data, options.out))


if __name__ == "__main__":
    main()
