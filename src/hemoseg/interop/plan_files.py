"""A plan from nnU-Net's files alone, without images."""

from pathlib import Path

from hemoseg.artifacts import write_json
from hemoseg.errors import SettingsError
from hemoseg.interop.nnunet_files import read_dataset_json, read_facts
from hemoseg.interop.nnunet_labels import label_doubts
from hemoseg.interop.nnunet_schema import is_folder_name
from hemoseg.interop.nnunet_write import write_plans
from hemoseg.plan import Plan, PlannerName
from hemoseg.planning.nnunet import make_nnunet_plan
from hemoseg.settings import Settings


def plan_from_files(
    fingerprint_path: Path,
    dataset_json_path: Path,
    *,
    planner: PlannerName,
    memory_gb: float | None,
    dataset_name: str | None = None,
    out: Path | None,
) -> Plan:
    """The plan that an nnU-Net planner makes of dataset_fingerprint.json and dataset.json, written as plans.json.

    Args:
        fingerprint_path: dataset_fingerprint.json.
        dataset_json_path: dataset.json.
        planner: one of nnU-Net's planners.
        memory_gb: nnU-Net's GPU memory target; None takes the planner's own.
        dataset_name: nnU-Net's name of the data set; None takes the folder's that dataset.json lies in.
        out: where plans.json goes, whole or not at all; None writes nothing.

    Raises:
        InputError: a file is absent, no JSON or not nnU-Net's.
        SettingsError: the planner cannot work from these files, or comes to no plan.
        ResourceError: the plan cannot be written.
    """
    _check_planner(planner, out)
    dataset = read_dataset_json(dataset_json_path)
    name = dataset_json_path.resolve().parent.name if dataset_name is None else dataset_name
    _check_name(name)
    facts = read_facts(fingerprint_path, dataset_json_path, dataset_name=name)
    plan = make_nnunet_plan(
        facts,
        planner=planner,
        memory_gb=memory_gb,
        labels=dataset.classes,
        settings=Settings(planner=planner, memory_gb=memory_gb),
        precision="fp32",
    )
    doubts = (*plan.doubts, *label_doubts(dataset.labels, dataset.region_order))
    plan = plan.model_copy(update={"doubts": doubts})
    if out is not None:
        write_json(out, write_plans(plan))
    return plan


def _check_name(name: str) -> None:
    """nnU-Net names folders after the data set."""
    if not is_folder_name(name):
        raise SettingsError(
            f"data set name {name!r}",
            where="--dataset-name",
            expected="the name of one folder, like Dataset001_Heads",
            remedy="give such a name, or leave the option out to take that of dataset.json's folder",
        )


def _check_planner(planner: PlannerName, out: Path | None) -> None:
    if planner == "headct":
        raise SettingsError(
            "planner headct with files of nnU-Net",
            where="--planner",
            expected="one of nnU-Net's planners: headct needs what a run measures of the scans",
            remedy="--planner nnunet, or hemoseg plan --run DIR --planner headct",
        )
    if planner == "nnunet-v1" and out is not None:
        raise SettingsError(
            "planner nnunet-v1 with --out plans.json",
            where="--planner",
            expected="a planner of nnU-Net v2: v1 keeps its plans as a pickle, and v2 cannot train them",
            remedy="leave out --out to see the plan, or take --planner nnunet",
        )
