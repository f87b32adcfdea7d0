import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
import scale_jobs

from hemoseg.errors import InputError, InterruptedRunError, ResourceError, SettingsError
from hemoseg.scale import Job, ProcessPool, Serial, Threads, default_workers, make_executor
from hemoseg.scale.crew import describe_exit, end


def jobs(*arguments):
    return [Job(name=f"case_{number}", argument=argument) for number, argument in enumerate(arguments)]


def results_of(executor, function, work):
    """Results by name; a job told twice is an error."""
    results = {}

    def done(name, result):
        assert name not in results
        results[name] = result

    executor.run(function, work, done=done)
    return results


def workers():
    """The worker processes there are, dead ones that nobody waited for included."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            is_zombie = child.status() == psutil.STATUS_ZOMBIE
            if is_zombie or any("spawn_main" in word for word in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            pass
    return found


def open_files():
    return psutil.Process().num_fds()


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    before = open_files()
    yield
    assert workers() == []
    assert open_files() <= before + 1  # the resource tracker of multiprocessing stays


def test_every_job_is_done_once():
    assert results_of(ProcessPool(workers=2), scale_jobs.double, jobs(1, 2, 3)) == {
        "case_0": 2,
        "case_1": 4,
        "case_2": 6,
    }


def test_no_jobs_is_no_work():
    assert results_of(ProcessPool(workers=2), scale_jobs.double, []) == {}


def test_many_jobs_share_few_processes():
    results = results_of(ProcessPool(workers=2), scale_jobs.process_id, jobs(*range(300)))
    assert len(results) == 300
    assert len(set(results.values())) <= 2
    assert os.getpid() not in results.values()


def test_there_are_no_more_processes_than_jobs():
    assert results_of(ProcessPool(workers=4), scale_jobs.siblings, jobs(0)) == {"case_0": 1}


def test_results_come_as_they_end():
    order = []
    ProcessPool(workers=2).run(scale_jobs.sleep_s, jobs(1.0, 0.0, 0.0), done=lambda name, _: order.append(name))
    assert order == ["case_1", "case_2", "case_0"]


def test_large_answers_arrive_whole():
    results = results_of(ProcessPool(workers=2), scale_jobs.large, jobs(3, 0, 5))
    assert [len(results[f"case_{n}"]) >> 20 for n in range(3)] == [3, 0, 5]


def test_large_arguments_arrive_whole():
    assert results_of(ProcessPool(workers=2), scale_jobs.fail_if_short, jobs("x" * 5_000_000, "yyy")) == {
        "case_0": "x" * 5_000_000,
        "case_1": "yyy",
    }


@pytest.mark.parametrize("executor", [Serial(), ProcessPool(workers=2)])
def test_an_unexpected_exception_names_case_and_line(executor):
    with pytest.raises(
        ResourceError, match=r"case_1: failed with ValueError: 'x' is short \(scale_jobs.py:\d+, in fail"
    ) as at:
        results_of(executor, scale_jobs.fail_if_short, jobs("long", "x"))
    assert "Traceback (most recent call last)" in at.value.__notes__[0]
    assert at.value.exit_code == 3


@pytest.mark.parametrize("kind", [Serial, lambda log: ProcessPool(workers=2, log=log)])
def test_the_whole_traceback_is_in_the_log(kind, tmp_path):
    log = tmp_path / "logs" / "failures.txt"
    with pytest.raises(ResourceError, match=r"failures\.txt"):
        results_of(kind(log=log), scale_jobs.fail_if_short, jobs("x"))
    text = log.read_text()
    assert text.startswith("case_0\nTraceback")
    assert "raise ValueError(" in text


def test_a_log_that_cannot_be_written_hides_nothing(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="is short") as at:
        results_of(ProcessPool(workers=2, log=tmp_path / "file" / "log"), scale_jobs.fail_if_short, jobs("x"))
    assert "raise ValueError(" in at.value.__notes__[0]


@pytest.mark.parametrize("executor", [Serial(), ProcessPool(workers=2)])
def test_our_errors_come_back_as_they_are(executor):
    error = InputError("no voxels", where=Path("a.nii"), expected="voxels", remedy="add some")
    with pytest.raises(InputError) as at:
        results_of(executor, scale_jobs.raise_it, jobs("fine", error))
    assert str(at.value) == str(error)
    assert at.value.where == Path("a.nii")


@pytest.mark.parametrize("executor", [Serial(), ProcessPool(workers=2)])
def test_sys_exit_ends_the_job_only(executor):
    with pytest.raises(ResourceError, match="case_0: failed with SystemExit: 5"):
        results_of(executor, scale_jobs.leave, jobs(5))


def test_an_interrupt_in_this_process_is_no_failure_of_the_case():
    with pytest.raises(KeyboardInterrupt):
        results_of(Serial(), scale_jobs.raise_it, jobs(KeyboardInterrupt()))


def test_a_process_that_leaves_is_named_with_its_exit_code():
    with pytest.raises(ResourceError, match="case_0: its worker ended with exit code 0; it was the second"):
        results_of(ProcessPool(workers=2), scale_jobs.leave_at_once, jobs(0))


def test_a_killed_job_is_done_again_and_the_others_go_on(tmp_path):
    markers = [None, tmp_path / "a", None, tmp_path / "b", None]
    results = results_of(ProcessPool(workers=2), scale_jobs.kill_once, jobs(*markers))
    assert results == {f"case_{number}": "done" for number in range(5)}
    assert (tmp_path / "a").exists()


def test_a_job_that_kills_twice_is_named_with_the_signal(tmp_path):
    with pytest.raises(ResourceError, match=r"case_1: its worker was killed by signal 9 \(SIGKILL\), perhaps for want"):
        results_of(ProcessPool(workers=2), scale_jobs.kill_always, jobs(None, tmp_path / "deaths", None))
    assert (tmp_path / "deaths").read_text() == "xx"


def test_killed_while_the_answer_is_made(tmp_path):
    work = jobs(None, tmp_path / "marker", None, None)
    assert len(results_of(ProcessPool(workers=2, limit_s=60.0), scale_jobs.kill_in_answer, work)) == 4
    assert (tmp_path / "marker").exists()


def test_killed_in_the_middle_of_an_answer():
    with pytest.raises(ResourceError, match=r"case_0: its worker was killed by signal 9"):
        results_of(ProcessPool(workers=2, limit_s=60.0), scale_jobs.cut_answer, jobs(None))


@pytest.mark.parametrize("function", [scale_jobs.sleep_s, scale_jobs.stop_always])
def test_a_job_beyond_its_time_is_named_and_ended(function):
    began = time.monotonic()
    with pytest.raises(ResourceError, match=r"case_0: not done after 1.5 s"):
        results_of(ProcessPool(workers=2, limit_s=1.5), function, jobs(1000))
    assert 1.4 < time.monotonic() - began < 6


def test_the_limit_is_for_each_job():
    work = jobs(*[0.3] * 8)
    assert len(results_of(ProcessPool(workers=1, limit_s=2.0), scale_jobs.sleep_s, work)) == 8


def test_a_failure_ends_the_others_at_once():
    began = time.monotonic()
    with pytest.raises(ResourceError, match="case_1"):
        results_of(ProcessPool(workers=2), scale_jobs.sleep_s, jobs(1000, "not a number"))
    assert time.monotonic() - began < 10


def test_a_result_that_cannot_be_pickled():
    with pytest.raises(ResourceError, match=r"case_0: failed with .*lambda"):
        results_of(ProcessPool(workers=2), scale_jobs.unpicklable, jobs(1))


def test_a_result_that_cannot_be_unpickled():
    with pytest.raises(ResourceError, match="case_0: failed with ValueError: cannot be made again"):
        results_of(ProcessPool(workers=2), scale_jobs.one_way, jobs(1))


def test_an_argument_that_cannot_be_pickled():
    with pytest.raises(ResourceError, match="case_1: failed with"):
        results_of(ProcessPool(workers=1), scale_jobs.double, jobs(1, lambda: None))


def test_an_error_of_ours_that_cannot_be_pickled_is_told_all_the_same():
    with pytest.raises(ResourceError, match=r"failed with scale_jobs\.OddError: here: odd"):
        results_of(ProcessPool(workers=2), scale_jobs.raise_odd, jobs(1))


def test_what_done_raises_ends_all():
    def done(name, result):
        raise InterruptedRunError(15, where=name, kept="nothing")

    with pytest.raises(InterruptedRunError):
        ProcessPool(workers=2).run(scale_jobs.sleep_s, jobs(0.0, 1000), done=done)


def test_an_interrupt_ends_all_at_once():
    before = signal.signal(signal.SIGUSR1, _interrupt)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    began = time.monotonic()
    try:
        with pytest.raises(InterruptedRunError):
            results_of(ProcessPool(workers=2), scale_jobs.sleep_s, jobs(1000, 1000))
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert time.monotonic() - began < 5


def _interrupt(number, _frame):
    raise InterruptedRunError(number, where="test", kept="nothing")


def test_workers_leave_the_interrupt_to_the_parent():
    assert results_of(ProcessPool(workers=2), scale_jobs.signal_itself, jobs(signal.SIGINT)) == {"case_0": "done"}


def test_a_worker_can_be_terminated():
    with pytest.raises(ResourceError, match=r"case_0: its worker was killed by signal 15 \(SIGTERM\); it was"):
        results_of(ProcessPool(workers=2), scale_jobs.signal_itself, jobs(signal.SIGTERM))


def test_a_second_interrupt_spares_nobody(monkeypatch):
    calls = []

    def cut_short(members):
        calls.append(len(members))
        if len(calls) == 1:
            raise InterruptedRunError(15, where="end", kept="nothing")
        end(members)

    def done(name, result):
        raise InterruptedRunError(15, where=name, kept="nothing")

    monkeypatch.setattr("hemoseg.scale.pool.end", cut_short)
    with pytest.raises(InterruptedRunError, match=r"^end: "):
        ProcessPool(workers=2).run(scale_jobs.sleep_s, jobs(0.0, 1000, 1000), done=done)
    assert calls == [2, 2]


def test_signals_are_let_through_again():
    results_of(ProcessPool(workers=2), scale_jobs.double, jobs(1, 2))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_runs_from_a_thread_too():
    results = {}
    thread = threading.Thread(
        target=lambda: results.update(results_of(ProcessPool(workers=2), scale_jobs.double, jobs(1, 2)))
    )
    thread.start()
    thread.join(60)
    assert results == {"case_0": 2, "case_1": 4}


def test_a_system_without_processes_left(monkeypatch):
    def refuse(self):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", refuse)
    with pytest.raises(ResourceError, match="case_0: no worker could be started: Resource temporarily"):
        results_of(ProcessPool(workers=2), scale_jobs.double, jobs(1))


@pytest.mark.parametrize(("workers", "limit_s"), [(0, 1.0), (-1, 1.0), (2, 0.0), (2, float("nan"))])
def test_no_workers_or_no_time_is_refused(workers, limit_s):
    with pytest.raises(SettingsError, match="at least one worker"):
        make_executor(workers, limit_s=limit_s)


def test_one_worker_is_this_process():
    assert results_of(make_executor(1), scale_jobs.process_id, jobs(0)) == {"case_0": os.getpid()}
    assert make_executor(3) == ProcessPool(workers=3)


def test_workers_by_default_are_the_cpus_allowed():
    assert default_workers() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "ended with exit code 0"),
        (-9, "was killed by signal 9 (SIGKILL), perhaps for want of memory"),
        (-11, "was killed by signal 11 (SIGSEGV)"),
        (-63, "was killed by signal 63 (without a name)"),
        (None, "closed its channel"),
    ],
)
def test_ends_in_words(code, text):
    assert describe_exit(code) == text


@pytest.mark.parametrize("executor", [Serial(), Threads(workers=2, limit_s=60.0), ProcessPool(workers=2)], ids=repr)
def test_failures_that_somebody_is_told_of_stop_no_other(executor, tmp_path):
    odd = InputError("no voxels", where=Path("a.nii"), expected="voxels", remedy="add some")
    done, failed = {}, {}
    executor.run(
        scale_jobs.raise_it,
        jobs(odd, "fine", ValueError("odd"), "fine"),
        done=done.__setitem__,
        failed=failed.__setitem__,
    )
    assert sorted(done) == ["case_1", "case_3"]
    assert sorted(failed) == ["case_0", "case_2"]
    assert type(failed["case_0"]) is InputError
    assert str(failed["case_2"]).startswith("case_2: failed with ValueError: odd")


def test_jobs_that_kill_or_take_too_long_or_cannot_be_sent_stop_no_other(tmp_path):
    done, failed = {}, {}
    pool = ProcessPool(workers=2, limit_s=3.0)
    arguments = (None, tmp_path / "deaths", lambda: None, None)
    pool.run(scale_jobs.kill_always, jobs(*arguments), done=done.__setitem__, failed=failed.__setitem__)
    assert sorted(done) == ["case_0", "case_3"]
    assert "signal 9" in failed["case_1"].found
    assert "failed with" in failed["case_2"].found
    done, failed = {}, {}
    pool.run(scale_jobs.sleep_s, jobs(1000, 0.0, 0.0), done=done.__setitem__, failed=failed.__setitem__)
    assert sorted(done) == ["case_1", "case_2"]
    assert failed["case_0"].found == "not done after 3 s"


def test_an_interrupt_ends_the_run_whoever_is_told():
    stop = InterruptedRunError(15, where="here", kept="nothing")
    with pytest.raises(InterruptedRunError):
        Serial().run(scale_jobs.raise_it, jobs(stop, "fine"), done=lambda *_: None, failed=lambda *_: None)
