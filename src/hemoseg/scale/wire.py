"""Messages between a pool and its workers: eight bytes of length, then a pickle.

Pickle is used between our own processes only; nothing pickled is ever stored.
"""

import pickle
import struct
from typing import Any

_LENGTH = struct.Struct("!Q")


def pack(value: Any) -> bytes:
    """The message for a value."""
    body = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


def is_whole(received: bytes | bytearray) -> bool:
    """Whether the bytes received so far are a whole message."""
    return len(received) >= _LENGTH.size and len(received) >= _LENGTH.size + _LENGTH.unpack_from(received)[0]


def unpack(message: bytes | bytearray) -> Any:
    """The value of a whole message."""
    return pickle.loads(memoryview(message)[_LENGTH.size :])  # noqa: S301 our own process wrote it
