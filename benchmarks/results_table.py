"""The table of results of a run, or of the study's cross-validation, in Markdown, from their own files.

Run: python benchmarks/results_table.py runs/phe [--write README.md]
     python benchmarks/results_table.py benchmarks/results/study [--write README.md]
"""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import stdev
from typing import Any

from hemoseg.evaluation import brief
from hemoseg.evaluation.statistics import bootstrap_mean

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
METRICS = {
    "dice": "Dice",
    "nsd_1mm": "surface Dice at 1 mm",
    "rvd": "relative volume difference",
    "volume_error_ml": "volume error, ml",
}
"""Columns, {key of evaluation.json: heading}."""


def results_table(run: Path) -> str:
    """The table: a line per class, mean (standard deviation over scans) [95 % interval] and n per metric.

    Raises:
        OSError: a file of the run is absent.
        KeyError: a file is of another version.
    """
    evaluation, fingerprint, settings = (
        json.loads((run / f"{name}.json").read_text()) for name in ("evaluation", "fingerprint", "settings")
    )
    measured = datetime.fromtimestamp((run / "evaluation.json").stat().st_mtime, tz=UTC).date()
    name, count = fingerprint["dataset_name"], len(evaluation["cases"])
    lines = [
        f"| {name}: class | {' | '.join(METRICS.values())} |",
        f"|---|{'---|' * len(METRICS)}",
        *(class_line(class_name, evaluation) for class_name in brief(evaluation)["mean"]),
        "",
        f"{count} held-out scans of {name}: mean ± standard deviation over scans [95 % bootstrap interval], n.",
        f"Measured on {measured} after `hemoseg run {name} --run {run.name} {options_of(settings)}`.",
    ]
    return "\n".join(lines)


def study_table(folder: Path) -> str:
    """The same table from the rows that `study.py` left of its folds, of one scan per patient.

    Raises:
        OSError: there are none.
    """
    files = sorted(folder.glob("cv-fold-*.json"))
    if not files:
        raise FileNotFoundError(f"{folder}: neither evaluation.json of a run nor cv-fold-0.json and on of the study")
    rows = [json.loads(path.read_text()) for path in files]
    cases = [case for row in rows for case in row["cases"]]
    names = [name for name in cases[0] if name != "any"]
    mean = {
        name: {metric: asdict(bootstrap_mean([case[name][metric] for case in cases], seed=0)) for metric in METRICS}
        for name in names
    }
    evaluation = {"mean": mean, "cases": [{"classes": case} for case in cases]}
    steps = " or ".join(sorted({str(row["steps"]) for row in rows}))
    lines = [
        f"| phe-sich: class | {' | '.join(METRICS.values())} |",
        f"|---|{'---|' * len(METRICS)}",
        *(class_line(name, evaluation) for name in names),
        "",
        f"{len(cases)} held-out scans of phe-sich: mean ± standard deviation over scans [95 % bootstrap interval], n.",
        f"Networks made as the embedded one was, {steps} steps a fold, without rules after them; measured on "
        f"{' and '.join(sorted({row['date'] for row in rows}))} by",
        f"`python benchmarks/study.py --data DATA --out DIR --only {' '.join(row['row'] for row in rows)}`.",
    ]
    return "\n".join(lines)


def options_of(settings: dict[str, Any]) -> str:
    """The options of `hemoseg run` that give these settings."""
    folds = ",".join(str(fold) for fold in settings["folds"])
    steps, budget_s = settings["iterations"], settings["budget_s"]
    limit = f"--iterations {steps} " if steps else f"--budget {budget_s:g}s " if budget_s else ""
    return f"--folds {folds} {limit}--config {settings['config']} --seed {settings['seed']}"


def class_line(class_name: str, evaluation: dict[str, Any]) -> str:
    """One class as a line of the table."""
    cells = [cell(class_name, metric, evaluation) for metric in METRICS]
    return f"| {class_name} | {' | '.join(cells)} |"


def cell(class_name: str, metric: str, evaluation: dict[str, Any]) -> str:
    """One class and metric: mean ± standard deviation [interval], n."""
    mean = evaluation["mean"][class_name][metric]
    if mean["value"] is None:
        return "undefined, n = 0"
    values = [case["classes"][class_name][metric] for case in evaluation["cases"]]
    finite = [value for value in values if value is not None]
    spread = f" ± {stdev(finite):.2f}" if len(finite) > 1 else ""
    return f"{mean['value']:.2f}{spread} [{mean['low']:.2f}, {mean['high']:.2f}], n = {mean['n']}"


def replace_block(text: str, table: str) -> str:
    """The page with what stands between the marks replaced.

    Raises:
        ValueError: the marks are not there, once each and in order.
    """
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end or BEGIN in after or END in after:
        raise ValueError(f"expected {BEGIN} and {END}, once each and in this order")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the table of results of a run, from its own files.")
    parser.add_argument("run", type=Path, help="run folder with evaluation.json, or the study's folder of rows")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the block between the marks of a page")
    options = parser.parse_args()
    is_run = (options.run / "evaluation.json").exists()
    table = results_table(options.run) if is_run else study_table(options.run)
    print(table)
    if options.write is not None:
        options.write.write_text(replace_block(options.write.read_text(), table))


if __name__ == "__main__":
    main()
