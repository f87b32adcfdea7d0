"""The whole story of `hemoseg run`, one stage a line."""

from pathlib import Path

from hemoseg.datasets import index_dataset, record_lines
from hemoseg.pipeline.conclude import bundle_stage, evaluate_stage
from hemoseg.pipeline.fingerprint import fingerprint_stage
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.learn import USUAL, Manner, learn_stage
from hemoseg.pipeline.measure import check_device, check_settings, plan_stage
from hemoseg.pipeline.page import report_stage
from hemoseg.pipeline.preprocess import preprocess_stage
from hemoseg.pipeline.select import select_stage
from hemoseg.pipeline.watch import Silent, Watch
from hemoseg.settings import Settings


def run(
    dataset: Path | str,
    run_dir: Path | str,
    settings: Settings,
    *,
    watch: Watch | None = None,
    manner: Manner = USUAL,
) -> Path:
    """From labeled scans to a validated model; resumes where an earlier call on the folder stopped.

    Args:
        dataset: an nnU-Net v2 raw folder.
        run_dir: the run folder; made if it is not there.
        settings: what the user decides.
        watch: told what goes on.
        manner: how networks are trained, beside the settings.

    Returns:
        The report, an HTML page; the model lies beside it in `model/`.

    Raises:
        InputError: the data set or the settings cannot be used.
        ResourceError: a device, the disk or another process stands in the way.
        InterruptedRunError: a signal asked to stop; the same call goes on.
    """
    watch = watch or Silent()
    folder = RunFolder(Path(run_dir))
    cases = index_dataset(Path(dataset))
    check_device(settings)
    for line in record_lines(cases.sources):
        watch.say(line)
    with folder.lock():
        check_settings(folder, settings)
        fingerprint_stage(folder, cases, watch)
        plan = plan_stage(folder, settings, watch)
        preprocess_stage(folder, plan, watch)
        learn_stage(folder, plan, settings, watch, manner=manner)
        select_stage(folder, plan, settings, watch)
        evaluate_stage(folder)
        bundle_stage(folder)
        return report_stage(folder, plan)
