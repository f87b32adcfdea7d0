"""Does nnU-Net's momentum of 0.99 suit a schedule of a few hundred steps?

Run: python benchmarks/momentum.py --data DATA/phe-sich --out runs/momentum --iterations 500

Trains fold 0 once per momentum, all else equal, and measures the held-out cases. Stopped at any time, it resumes.
The last line is one JSON object: {momentum: {class: {mean Dice, low, high, n}}}.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hemoseg.artifacts import write_model
from hemoseg.cli.progress import bars
from hemoseg.datasets import index_dataset
from hemoseg.pipeline.conclude import evaluate_stage
from hemoseg.pipeline.fingerprint import fingerprint_stage
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.learn import learn_stage
from hemoseg.pipeline.measure import check_settings, plan_stage
from hemoseg.pipeline.preprocess import preprocess_stage
from hemoseg.pipeline.select import select_stage
from hemoseg.pipeline.watch import Watch
from hemoseg.settings import Settings

MOMENTA = (0.99, 0.95)
RATE = 0.01
"""Initial learning rate, nnU-Net's."""


def measure(data: Path, out: Path, momentum: float, iterations: int, watch: Watch) -> dict[str, Any]:
    """Content of evaluation.json of fold 0 trained with this momentum."""
    folder = RunFolder(out / f"momentum-{momentum:g}")
    settings = Settings(folds=(0,), iterations=iterations)
    with folder.lock():
        check_settings(folder, settings)
        fingerprint_stage(folder, index_dataset(data), watch)
        plan = plan_stage(folder, settings, watch)
        plan = plan.model_copy(
            update={"recipe": plan.recipe.model_copy(update={"momentum": momentum, "learning_rate": RATE})}
        )
        write_model(folder.plan_file, plan)
        preprocess_stage(folder, plan, watch)
        learn_stage(folder, plan, settings, watch)
        select_stage(folder, plan, settings, watch)
        return evaluate_stage(folder)


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data set in nnU-Net v2 raw layout")
    parser.add_argument("--out", type=Path, required=True, help="folder for one run per momentum")
    parser.add_argument("--iterations", type=int, default=500)
    options = parser.parse_args()
    with bars() as watch:
        results = {m: measure(options.data, options.out, m, options.iterations, watch) for m in MOMENTA}
    table = Table("momentum", "class", "Dice", "95 % interval", "n", title=f"{options.iterations} steps")
    dice = {m: {name: mean["dice"] for name, mean in result["mean"].items()} for m, result in results.items()}
    for momentum, classes in dice.items():
        for name, mean in classes.items():
            low, high = mean["low"], mean["high"]
            table.add_row(f"{momentum:g}", name, f"{mean['value']:.3f}", f"{low:.3f} to {high:.3f}", str(mean["n"]))
    Console().print(table)
    print(json.dumps({f"{momentum:g}": classes for momentum, classes in dice.items()}))


if __name__ == "__main__":
    main()
