"""Messages between a pool and its workers: eight bytes of length, then the value as multiprocessing packs it.

Packed values live in the channels between our own processes, and those of a dask cluster that the user names, which
runs what it is sent in any case. None is ever stored or read from elsewhere.
"""

import struct
from multiprocessing.reduction import ForkingPickler
from typing import Any

_LENGTH = struct.Struct("!Q")


def pack(value: Any) -> bytes:
    """The message for a value."""
    body = bytes(ForkingPickler.dumps(value))
    return _LENGTH.pack(len(body)) + body


def is_whole(received: bytes | bytearray) -> bool:
    """Whether the bytes received so far are a whole message."""
    return len(received) >= _LENGTH.size and len(received) >= _LENGTH.size + _LENGTH.unpack_from(received)[0]


def unpack(message: bytes | bytearray) -> Any:
    """The value of a whole message."""
    return ForkingPickler.loads(memoryview(message)[_LENGTH.size :])
