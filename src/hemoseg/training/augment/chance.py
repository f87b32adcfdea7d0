"""Chance and threads of one piece of work, apart from the process's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def alone(generator: np.random.Generator) -> Iterator[None]:
    """NumPy's and torch's global generators seeded from `generator`, and one thread; all is as before afterwards.

    batchgeneratorsv2 draws from the global ones. Sums of floats depend on the number of threads, and what a loader's
    worker computes with one must have the same bits when the trainer computes it.
    """
    numpy_state = np.random.get_state()  # noqa: NPY002 - it is put back
    torch_state, threads = torch.get_rng_state(), torch.get_num_threads()
    np.random.seed(int(generator.integers(2**32)))  # noqa: NPY002 - what batchgeneratorsv2 draws from
    torch.default_generator.manual_seed(int(generator.integers(2**63)))
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)  # noqa: NPY002 - as it was
