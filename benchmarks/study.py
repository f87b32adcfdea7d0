"""The cross-validation on phe-sich and the study of windows and steps, row by row.

Run: python benchmarks/study.py --data DATA/phe-sich --out runs/study [--only ROW …] [--list] [--tables]

Each row trains one fold (study_rows.py says how), predicts its held-out cases, measures them, and leaves its numbers in
benchmarks/results/study/ROW.json; a row that is there is not done again, and one that was stopped resumes. How many
optimizer steps a row has is fixed, so a busy machine makes it slower and nothing else. `--tables` prints what the rows
that are there say. Scores are those of networks as they come, without rules of post-processing.

The hemorrhage labels of phe-sich are silver: a threshold inside an expert's box made them, so a threshold rule finds
them well. Edema was drawn by hand.
"""

import argparse
import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table
from study_rows import PEER_STEPS, Row, make_rows
from threshold_rule import Seen, apply_rule, tune

from hemoseg import __version__
from hemoseg.artifacts import write_json, write_model
from hemoseg.cli.progress import bars
from hemoseg.datasets import Dataset, index_dataset, read_case
from hemoseg.evaluation import PairFiles, evaluate_files
from hemoseg.evaluation.statistics import bootstrap_mean
from hemoseg.inference.agreement import processor
from hemoseg.io import write_mask
from hemoseg.pipeline.fingerprint import fingerprint_stage
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.learn import learn_stage
from hemoseg.pipeline.measure import check_settings, plan_stage
from hemoseg.pipeline.out_of_fold import prediction
from hemoseg.pipeline.precision import computed_in
from hemoseg.pipeline.preprocess import preprocess_stage
from hemoseg.pipeline.watch import Watch
from hemoseg.plan import Plan
from hemoseg.scale import default_workers
from hemoseg.settings import FOLDS
from hemoseg.training import has_amx

PEERS = Path(__file__).parent.parent / ".venv-peers" / "bin"
PEER_DATASET, PEER_CONFIGURATION = "Dataset001_PHE", "3d_fullres"
RESULTS = Path(__file__).parent / "results" / "study"
METRICS = ("dice", "nsd_0.42mm", "nsd_1mm", "nsd_2mm", "rvd", "volume_error_ml")
"""Metrics of a case that a row keeps."""


LESIONS = ("found", "missed", "false")
"""Kinds of lesions that a row counts case by case."""
JOB_MINUTES = 95
"""A job stops itself after these; the same command goes on."""


def do_row(row: Row, data: Path, out: Path, watch: Watch) -> None:
    """Do what is lacking of a row, and write its file."""
    target = RESULTS / f"{row.name}.json"
    if target.exists():
        return
    began = time.monotonic()
    dataset = index_dataset(data)
    folder = RunFolder(out / row.name)
    with folder.lock():
        plan = _plan(row, folder, dataset, watch)
        (fold,) = row.settings.folds
        names = folder.splits().held_out[fold]
        if row.kind == "rule":
            found = _rule(row, folder, dataset, watch)
        elif row.kind == "peer":
            found = _peer(row, folder, data)
        else:
            found = _train(row, folder, plan, watch)
    cases = {case.name: case for case in dataset.cases}
    pairs = [
        PairFiles(case=name, patient=cases[name].patient, prediction=found[name], reference=cases[name].label)
        for name in names
    ]
    last = plan.trained_configurations[-1].name
    precision = {"train": computed_in(folder, plan, last, (fold,)), "peer": "fp32"}.get(row.kind)
    result = evaluate_files(pairs, dataset.table)
    write_json(target, _content(row, plan, result, precision=precision, seconds=time.monotonic() - began))


def _plan(row: Row, folder: RunFolder, dataset: Dataset, watch: Watch) -> Plan:
    check_settings(folder, row.settings)
    fingerprint = fingerprint_stage(folder, dataset, watch)
    plan = plan_stage(folder, row.settings, watch)
    adapted = row.adapt(plan, fingerprint)
    if adapted != plan:
        write_model(folder.plan_file, Plan.model_validate(adapted.model_dump()))
    return adapted


def _train(row: Row, folder: RunFolder, plan: Plan, watch: Watch) -> dict[str, Path]:
    preprocess_stage(folder, plan, watch)
    learn_stage(folder, plan, row.settings, watch)
    (fold,) = row.settings.folds
    last = plan.trained_configurations[-1]
    return {name: prediction(folder, last, fold, name) for name in folder.splits().held_out[fold]}


def _rule(row: Row, folder: RunFolder, dataset: Dataset, watch: Watch) -> dict[str, Path]:
    """Tune the rule on the training cases; apply it to the held-out ones."""
    (fold,) = row.settings.folds
    cases, splits = {case.name: case for case in dataset.cases}, folder.splits()
    watch.begin(row.name, len(splits.train[fold]))
    seen, labels = [], []
    for number, name in enumerate(splits.train[fold], start=1):
        volume, truth = read_case(cases[name], dataset.table)
        assert truth is not None
        seen.append(Seen.of(volume))
        labels.append(truth)
        watch.advance(number, name)
    rule = tune(seen, labels)
    print(f"{row.name}: {rule}")
    found = {}
    for name in splits.held_out[fold]:
        volume, _ = read_case(cases[name], dataset.table)
        found[name] = folder.path / "rule" / f"{name}.nii.gz"
        write_mask(found[name], apply_rule(Seen.of(volume), rule), volume)
    return found


def _peer(row: Row, folder: RunFolder, data: Path) -> dict[str, Path]:
    """nnU-Net trains the same fold for the row's steps, and predicts."""
    world, environment = prepare_peer(row, folder, data)
    (fold,) = row.settings.folds
    script = Path(__file__).with_name("nnunet_train_peer.py")
    steps = str(PEER_STEPS[row.peer_gb])
    with (folder.path / "nnunet.log").open("ab") as log:
        subprocess.run(
            [PEERS / "python", script, PEER_DATASET, PEER_CONFIGURATION, str(fold), steps],
            check=True,
            env=environment,
            stdout=log,
            stderr=log,
        )
    (found,) = (world / "results").glob(f"{PEER_DATASET}/*/fold_{fold}/validation")
    return {name: found / f"{name}.nii.gz" for name in folder.splits().held_out[fold]}


def time_peer(row: Row, data: Path, out: Path, steps: int, watch: Watch) -> None:
    """Print how long a step of nnU-Net's takes in its row."""
    if row.kind != "peer":
        return
    folder, dataset = RunFolder(out / row.name), index_dataset(data)
    with folder.lock():
        _plan(row, folder, dataset, watch)
        _, environment = prepare_peer(row, folder, data)
        script = Path(__file__).with_name("nnunet_train_peer.py")
        command = [str(PEERS / "python"), str(script), PEER_DATASET, PEER_CONFIGURATION, "0", "--time", str(steps)]
        print(f"{row.name}:", flush=True)
        subprocess.run(command, check=True, env=environment)


def prepare_peer(row: Row, folder: RunFolder, data: Path) -> tuple[Path, dict[str, str]]:
    """nnU-Net plans for the row's memory and preprocesses: its folder, and the environment that tells of it."""
    world = folder.path / "nnunet"
    environment = {
        **os.environ,
        **{f"nnUNet_{name}": str(world / name) for name in ("raw", "preprocessed", "results")},
    }
    (world / "raw").mkdir(parents=True, exist_ok=True)
    if not (world / "raw" / PEER_DATASET).exists():
        (world / "raw" / PEER_DATASET).symlink_to(data.resolve())
    prepared = world / "preprocessed" / PEER_DATASET
    splits = folder.splits()
    if not (prepared / "splits_final.json").is_file():
        target_gb = str(row.peer_gb)
        for command in (
            ["nnUNetv2_extract_fingerprint", "-d", "1", "-np", "2"],
            ["nnUNetv2_plan_experiment", "-d", "1", "-gpu_memory_target", target_gb],
            ["nnUNetv2_preprocess", "-d", "1", "-c", PEER_CONFIGURATION, "-np", "2"],
        ):
            subprocess.run([str(PEERS / command[0]), *command[1:]], check=True, env=environment, capture_output=True)
        folds = [{"train": list(a), "val": list(b)} for a, b in zip(splits.train, splits.held_out, strict=True)]
        write_json(prepared / "splits_final.json", folds)
    return world, environment


def _content(row: Row, plan: Plan, result: dict[str, Any], *, precision: str | None, seconds: float) -> dict[str, Any]:
    """What a row leaves: its means with intervals, and what can be pooled, without names of cases."""
    ours = plan.trained_configurations[-1].iterations
    return {
        "row": row.name,
        "what": row.what,
        "options": row.settings.options() if row.kind == "train" else row.kind,
        "version": __version__,
        "date": datetime.now(UTC).date().isoformat(),
        "steps": {"train": ours, "peer": PEER_STEPS.get(row.peer_gb)}.get(row.kind),
        "wall_s_of_the_last_part": round(seconds),
        "computed": {
            "precision": precision,
            "threads": default_workers(),
            "processor": processor(),
            "amx": has_amx(),
            "commit": _commit(),
        },
        "mean": {name: {metric: means[metric] for metric in METRICS} for name, means in result["mean"].items()},
        "lesions": result["lesions"],
        "cases": [
            {
                name: {
                    **{metric: scores[metric] for metric in METRICS},
                    "lesions": {kind: len(case["lesions"][name][f"{kind}_ml"]) for kind in LESIONS},
                }
                for name, scores in case["classes"].items()
            }
            for case in result["cases"]
        ],
    }


def _commit() -> str | None:
    """The state of the code, if it is in a repository; with a plus if files differ from it."""
    here = Path(__file__).parent
    found = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=here, capture_output=True, text=True)
    return found.stdout.strip() or None


def read_rows(names: list[str]) -> dict[str, dict[str, Any]]:
    """The files of those rows that are there."""
    files = {name: RESULTS / f"{name}.json" for name in names}
    return {name: json.loads(path.read_text()) for name, path in files.items() if path.is_file()}


def pooled(rows: list[dict[str, Any]], class_name: str, metric: str) -> str:
    """Mean [95 % bootstrap interval over patients] and n over the cases of several rows."""
    return _interval([case[class_name][metric] for row in rows for case in row["cases"]])


def pooled_lesions(rows: list[dict[str, Any]], class_name: str) -> tuple[str, str]:
    """Recall of lesions, n lesions, and false positives a scan, n scans, both [95 % bootstrap interval over patients].

    Rows of before 2026-12-01 kept sums alone, which give no interval over patients.
    """
    cases = [case[class_name].get("lesions") for row in rows for case in row["cases"]]
    if None in cases:
        sums = [row["lesions"][class_name] for row in rows]
        lesions = sum(one["recall"]["n"] for one in sums)
        found = sum(one["recall"]["value"] * one["recall"]["n"] for one in sums)
        false = sum(one["false_positives"] for one in sums)
        return (
            f"{found / lesions:.3f} (no interval kept), {lesions}",
            f"{false / len(cases):.2f} (no interval kept), {len(cases)}",
        )
    found = [float(kind == "found") for case in cases for kind in ("found", "missed") for _ in range(case[kind])]
    patients = [str(n) for n, case in enumerate(cases) for _ in range(case["found"] + case["missed"])]
    return _interval(found, patients), _interval([float(case["false"]) for case in cases])


def _interval(values: list[float | None], patients: list[str] | None = None) -> str:
    found = bootstrap_mean(values, seed=0, patients=patients)
    if found.value is None:
        return "undefined"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}], {found.n}"


def print_tables(console: Console) -> None:
    """Cross-validation and rule pooled over their folds; every other row by itself."""
    rows = make_rows()
    found = read_rows(list(rows))
    groups: dict[str, list[dict[str, Any]]] = {
        "cross-validation": [found[name] for name in found if name.startswith("cv-")],
        "threshold rule": [found[name] for name in found if name.startswith("rule-")],
    }
    groups |= {name: [row] for name, row in found.items()}
    for class_name, silver in (("hemorrhage", " (silver labels)"), ("edema", " (manual labels)")):
        columns = (*METRICS, "lesion recall", "false positives a scan")
        table = Table("row", *columns, title=f"{class_name}{silver}: mean [95 % interval over patients], n")
        for name, members in groups.items():
            if members:
                means = (pooled(members, class_name, metric) for metric in METRICS)
                table.add_row(name, *means, *pooled_lesions(members, class_name))
        console.print(table)
        table = Table("row", "minus", "mean, standard error, n", title=f"{class_name}{silver}: Dice, paired by case")
        folds = [(f"cv-fold-{fold}", f"rule-fold-{fold}") for fold in range(FOLDS)]
        table.add_row("cross-validation", "threshold rule", paired(found, folds, class_name))
        for name, row in rows.items():
            if row.against is not None and name in found and row.against in found:
                table.add_row(name, row.against, paired(found, [(name, row.against)], class_name))
        console.print(table)


def paired(found: dict[str, dict[str, Any]], pairs: list[tuple[str, str]], class_name: str) -> str:
    """Mean difference of Dice over the cases of rows that are both there, its standard error, and n."""
    differences = [
        one[class_name]["dice"] - other[class_name]["dice"]
        for ours, theirs in pairs
        if ours in found and theirs in found
        for one, other in zip(found[ours]["cases"], found[theirs]["cases"], strict=True)
    ]
    if len(differences) < 2:
        return "no fold that both have"
    error = stdev(differences) / sqrt(len(differences))
    return f"{mean(differences):+.3f}, {error:.3f}, {len(differences)}"


def main() -> None:
    """Do the rows that are asked for, or print what there is."""
    rows = make_rows()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="phe-sich, in nnU-Net v2 raw layout")
    parser.add_argument("--out", type=Path, help="folder for one run per row")
    parser.add_argument("--only", nargs="+", choices=rows, metavar="ROW", help="rows to do; all if left out")
    parser.add_argument("--list", action="store_true", help="print the rows and whether they are done")
    parser.add_argument("--tables", action="store_true", help="print the tables of the rows that are there")
    parser.add_argument("--time-peer", type=int, metavar="N", help="of nnU-Net's rows, time N steps and do no more")
    options = parser.parse_args()
    if options.list or options.tables:
        if options.list:
            for name, row in rows.items():
                print(f"{'done' if (RESULTS / f'{name}.json').exists() else 'open'}  {name}: {row.what}")
        if options.tables:
            print_tables(Console(width=280))
        return
    if options.data is None or options.out is None:
        parser.error("--data and --out say what to train on and where")
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    signal.alarm(JOB_MINUTES * 60)
    with bars() as watch:
        for name in options.only or rows:
            if options.time_peer is not None:
                time_peer(rows[name], options.data, options.out, options.time_peer, watch)
                continue
            do_row(rows[name], options.data, options.out, watch)


if __name__ == "__main__":
    main()
