"""nnU-Net's own files beside a plan that its rules made, so that nnU-Net can go on from there."""

from hemoseg.artifacts import write_json
from hemoseg.interop import write_dataset_json, write_fingerprint_json, write_plans
from hemoseg.pipeline.folder import RunFolder
from hemoseg.plan import Plan
from hemoseg.planning import Fingerprint


def nnunet_files_stage(folder: RunFolder, plan: Plan, fingerprint: Fingerprint) -> None:
    """Write `nnunet/plans.json`, `dataset.json` and `dataset_fingerprint.json` where they say all of the plan.

    They do not for `headct`, for nnU-Net v1, and where steps come before nnU-Net: its files cannot hold those.
    """
    if not is_all_nnunet(plan):
        return
    target = folder.path / "nnunet"
    for name, content in (
        ("dataset_fingerprint.json", write_fingerprint_json(fingerprint)),
        ("dataset.json", write_dataset_json(fingerprint)),
        ("plans.json", write_plans(plan)),
    ):
        if not (target / name).is_file():
            write_json(target / name, content)


def is_all_nnunet(plan: Plan) -> bool:
    """Whether nnU-Net v2's files can hold the plan.

    An imported or stepped plan differs in its preparation: nnU-Net knows neither windows nor canonical axes.
    """
    preparation = plan.preparation
    return (
        plan.nnunet is not None
        and plan.planner != "nnunet-v1"
        and preparation.orientation != "canonical"
        and not preparation.windows
    )
