import os
import socket
import subprocess
import sys
import threading

from hemoseg.scale import worker
from hemoseg.scale.failure import Failure
from hemoseg.scale.wire import is_whole, pack, unpack


def test_a_message_is_whole_with_its_last_byte():
    message = pack({"a": 1})
    assert not any(is_whole(message[:length]) for length in range(len(message)))
    assert is_whole(message)
    assert unpack(message) == {"a": 1}


def test_a_job_is_answered_with_its_result():
    assert unpack(worker.answer(pack((abs, -3)))) == worker.Success(result=3)


def test_a_message_that_cannot_be_read_is_answered():
    said = unpack(worker.answer(b"\0" * 12))
    assert isinstance(said, Failure)
    assert said.error is None


def test_answers_until_the_channel_is_closed(monkeypatch):
    monkeypatch.setattr(worker, "end_with", lambda parent: None)
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)  # handlers belong to the main thread
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=worker.work, args=(theirs, os.getpid()))
    thread.start()
    with ours, theirs:
        for number in (-1, -2):
            ours.sendall(pack((abs, number)))
            received = b""
            while not is_whole(received):
                received += ours.recv(1000)
            assert unpack(received) == worker.Success(result=-number)
        ours.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert not thread.is_alive()


def test_a_worker_whose_parent_is_gone_ends():
    code = "from hemoseg.scale.worker import end_with; end_with(parent=1 << 22); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
