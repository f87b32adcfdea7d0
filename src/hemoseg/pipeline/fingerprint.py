"""The stage that measures a data set, several cases at a time."""

from hemoseg.artifacts import write_model
from hemoseg.datasets import Dataset, Measuring, measure_one, read_record
from hemoseg.errors import SettingsError
from hemoseg.pipeline.executors import executor_for
from hemoseg.pipeline.folder import RunFolder
from hemoseg.pipeline.watch import Watch
from hemoseg.plan import Region
from hemoseg.planning import Fingerprint, make_fingerprint
from hemoseg.scale import Job


def fingerprint_stage(folder: RunFolder, dataset: Dataset, watch: Watch) -> Fingerprint:
    """Measure every case and write `fingerprint.json`; read back if it is there.

    Raises:
        SettingsError: the folder belongs to another data set.
        ResourceError: a worker failed twice on a case, or ran out of time or disk; names the case.
    """
    if folder.fingerprint_file.exists():
        found = folder.fingerprint()
        if found.digest != dataset.digest:
            raise SettingsError(
                f"the run was begun on {found.dataset} ({found.digest[:12]}), "
                f"this is {dataset.root} ({dataset.digest[:12]})",
                where=folder.fingerprint_file,
                expected="the same data set with the same files",
                remedy="use a new --run folder for another or changed data set",
            )
        return found
    watch.begin("fingerprint", len(dataset.cases))
    done = 0

    def tell(name: str, _result: None) -> None:
        nonlocal done
        done += 1
        watch.advance(done, name)

    jobs = [
        Job(name=case.name, argument=Measuring(case=case, table=dataset.table, folder=folder.facts))
        for case in dataset.cases
    ]
    files = [path for case in dataset.cases for path in (case.image, case.label)]
    executor = executor_for(files, jobs=len(jobs), log=folder.workers_log, leaves_files=True)
    executor.run(measure_one, jobs, done=tell)
    fingerprint = make_fingerprint(
        [read_record(folder.facts, case.name) for case in dataset.cases],
        dataset=str(dataset.root.resolve()),
        dataset_name=dataset.name,
        digest=dataset.digest,
        channel_names=dataset.channel_names,
        file_ending=dataset.file_ending,
        labels=dataset.table.names,
        regions=Region.of_table(dataset.table),
        ignore=dataset.table.ignore,
        record=dataset.sources,
    )
    write_model(folder.fingerprint_file, fingerprint)
    return fingerprint
