"""Read and inflate scans and label maps, write them as arrays, and do nothing else: the floor of preprocessing.

Run: python benchmarks/inflate_write.py PROCESSES FOLDER IMAGE LABEL IMAGE LABEL ...
"""

import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip

HEADER = 352
"""Bytes before the voxels of the workload's files."""


def convert(job: tuple[str, str, str]) -> int:
    """Write one case: image in float32, labels in one byte, both on the disk when this returns; bytes written."""
    folder, image, label = job
    target = Path(folder) / Path(label).name
    target.mkdir(parents=True)
    types: dict[str, tuple[str, Any, Any]] = {
        "image": (image, np.dtype("<i2"), np.float32),
        "label": (label, np.dtype("u1"), np.int8),
    }
    written = 0
    for name, (path, stored, wanted) in types.items():
        content = igzip.decompress(Path(path).read_bytes())  # type: ignore[no-untyped-call]
        values = np.frombuffer(content, dtype=stored, offset=HEADER)
        with (target / f"{name}.npy").open("wb") as file:
            np.save(file, values.astype(wanted))
            file.flush()
            os.fsync(file.fileno())
            written += file.tell()
    return written


def main() -> None:
    """Convert all, print the sum of bytes."""
    processes, folder, files = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    jobs = [(folder, image, label) for image, label in zip(files[::2], files[1::2], strict=True)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        print(sum(pool.map(convert, jobs, chunksize=1)))


if __name__ == "__main__":
    main()
