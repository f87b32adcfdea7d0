"""Read and inflate gzip files in several processes, and do nothing else: the floor of what measures a data set.

Run: python benchmarks/inflate.py PROCESSES FILE ...
"""

import multiprocessing
import sys
from pathlib import Path

from isal import igzip


def inflate(path: str) -> int:
    """Bytes of a file after inflation."""
    return len(igzip.decompress(Path(path).read_bytes()))  # type: ignore[no-untyped-call]


def main() -> None:
    """Inflate all, print the sum of bytes."""
    processes, files = int(sys.argv[1]), sys.argv[2:]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        print(sum(pool.map(inflate, files, chunksize=1)))


if __name__ == "__main__":
    main()
