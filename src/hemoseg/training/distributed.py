"""Several processes that train one network: each takes a part of every batch, and all have the same weights.

The sums that a loss is made of are added over the ranks before its formula, and gradients after it, so that a step is
that of one process with the whole batch, but for rounding: whatever the batch's Dice, ignored voxels or uneven parts.
torch's own wrapper averages the gradients of losses that each rank has computed alone, which is another training.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from hemoseg.data import Batch, BatchSource, PartedSource
from hemoseg.errors import ResourceError, SettingsError
from hemoseg.training.loader import DEAD

BEGIN_LIMIT = timedelta(seconds=120)
"""Time that all ranks have to find each other."""
ASK_EVERY_S = 0.05
"""Time between two looks for answers."""
STEP_LIMIT = timedelta(hours=2)
"""Time that ranks wait for one that is alive: it may be writing, or working through a large step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among those that train one network; without arguments, a process alone."""

    rank: int = 0
    """Which one it is, from 0."""
    size: int = 1
    """How many there are."""
    local_size: int = 1
    """How many of them are on this machine."""
    device: str = "cpu"
    """Where its network is."""
    group: Any = None
    """torch's handle of all of them; None for a process alone."""

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and tells of progress."""
        return self.rank == 0

    def threads(self, threads: int) -> int:
        """Threads of this process where so many are there for all on the machine."""
        return max(1, threads // self.local_size)

    def workers(self, workers: int) -> int:
        """Processes that make batches for this one where so many would suit the machine; none stays none."""
        return self.threads(workers) if workers else 0

    def check_batch(self, batch_size: int, *, where: str) -> None:
        """Make sure that every rank has a patch.

        Raises:
            SettingsError: there are more ranks than patches.
        """
        if batch_size < self.size:
            raise SettingsError(
                f"{self.size} processes for batches of {batch_size}",
                where=where,
                expected="at least one patch of each batch per process",
                remedy=f"start {batch_size} processes or fewer, or plan with more memory, which makes larger batches",
            )

    def check_folds(self, at_once: int) -> None:
        """Make sure that processes share a fold or that folds have processes of their own, not both.

        Raises:
            SettingsError: both are asked for.
        """
        if self.size > 1 and at_once > 1:
            raise SettingsError(
                f"{at_once} folds at once with {self.size} processes that share each batch",
                where="--parallel-folds",
                expected="one of the two: torchrun trains one fold after the other",
                remedy="leave out --parallel-folds, or start hemoseg without torchrun",
            )

    def share(self, source: PartedSource) -> BatchSource:
        """The source of this rank's parts."""
        return source if self.size == 1 else SharedSource(source=source, rank=self.rank, size=self.size)

    def add(self, sums: Tensor) -> Tensor:
        """A vector added over all ranks. Each rank's gradient is that of its own part; `add_gradients` adds those."""
        if self.size == 1:
            return sums
        added: Tensor = _Added.apply(sums, self)  # type: ignore[no-untyped-call]
        return added

    def add_gradients(self, network: nn.Module) -> None:
        """Give every rank the sum of all gradients; one message for the whole network."""
        if self.size == 1:
            return
        gradients = [one.grad for one in network.parameters() if one.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        self._all_reduce(together)
        parts = torch.split(together, [one.numel() for one in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def first_signal(self, number: int | None) -> int | None:
        """The signal that asks to stop, if it reached any rank: all stop at the same iteration."""
        if self.size == 1:
            return number
        largest = torch.tensor([number or 0], device=self.device)
        self._all_reduce(largest, distributed.ReduceOp.MAX)
        return int(largest) or None

    def any(self, flag: bool) -> bool:
        """Whether it holds for any rank."""
        return self.first_signal(int(flag) or None) is not None

    def batch_sizes(self, patches: int) -> tuple[int, ...]:
        """How many patches of a batch a rank has, each number once: parts of a batch may differ by one."""
        ends = [rank * patches // self.size for rank in range(self.size + 1)]
        return tuple(sorted({end - start for start, end in pairwise(ends)}))

    def wait(self) -> None:
        """Go on when all ranks are here."""
        self.first_signal(None)

    def _all_reduce(self, tensor: Tensor, how: Any = distributed.ReduceOp.SUM) -> None:
        try:
            distributed.all_reduce(tensor, how, group=self.group)
        except RuntimeError as error:
            if DEAD in str(error):  # torch raises it wherever the program is; the loader knows what to say of it
                raise
            raise ResourceError(
                f"rank {self.rank} of {self.size} lost another one: {str(error).splitlines()[0]}",
                where="distributed training",
                expected="all processes alive until the end",
                remedy="start it again, which resumes it; torchrun's --max-restarts does so by itself",
            ) from error


ALONE = Ranks()
"""A training by one process."""


class _Added(torch.autograd.Function):
    """A sum over ranks whose gradient is passed on as it is: that of the sum to this rank's part."""

    @staticmethod
    def forward(_ctx: Any, sums: Tensor, ranks: Ranks) -> Tensor:
        result = sums.clone()
        ranks._all_reduce(result)
        return result

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSource:
    """A rank's part of every batch of a source: with 5 patches for 2 ranks, the first 2 and the other 3."""

    source: PartedSource
    """Gives parts of batches."""
    rank: int
    """Whose part is taken, from 0."""
    size: int
    """How many ranks there are."""

    @property
    def ignore(self) -> int | None:
        """Number that stands for ignored voxels."""
        return self.source.ignore

    def names_of(self, iteration: int) -> tuple[str, ...]:
        """Names of the cases that its part has patches of."""
        return self.source.names_of(iteration)[self._part]

    def batch(self, iteration: int) -> Batch:
        """Its part of a batch; patches of other ranks are not made."""
        return self.source.batch(iteration, self._part)

    def validation_batch(self, number: int) -> Batch:
        """Its part of a validation batch."""
        return self.source.validation_batch(number, self._part)

    @property
    def _part(self) -> slice:
        count = self.source.batch_size
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """This process among those that torchrun started; `ALONE` where it started none.

    torchrun tells each process its place by environment variables; no other setting comes that way.

    Args:
        device: `cpu` (gloo) or `cuda` (NCCL; each process on a machine takes the GPU of its number there).

    Raises:
        ResourceError: the others did not come within two minutes.
    """
    if not distributed.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE
        return
    local_rank, local_size = (int(os.environ[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    try:
        if device == "cuda":
            torch.cuda.set_device(local_rank)
        store, rank, size = next(rendezvous("env://", timeout=BEGIN_LIMIT))
        distributed.init_process_group(
            "nccl" if device == "cuda" else "gloo",
            store=_fresh_part(store, rank, size),
            rank=rank,
            world_size=size,
            timeout=BEGIN_LIMIT,
        )
        group = distributed.new_group(timeout=STEP_LIMIT)
    except (AssertionError, AttributeError, RuntimeError, ValueError) as error:
        # torch without CUDA raises the first two
        raise ResourceError(
            f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} found no others: {str(error).splitlines()[0]}",
            where="distributed training",
            expected=f"all of them within {BEGIN_LIMIT.seconds} s",
            remedy="see that every node reaches the address that torchrun was given, and that GPUs suffice",
        ) from error
    try:
        yield Ranks(rank=rank, size=size, local_size=local_size, device=device, group=group)
    finally:
        distributed.destroy_process_group()


def _fresh_part(store: Store, rank: int, size: int) -> Store:
    """A part of torchrun's store that no earlier attempt wrote in.

    After a restart the store still has the addresses of processes that are gone, and a restart's number is not the
    same on every node. So the first rank names a part, and tells it to each other rank under that one's own name, until
    each has answered there.

    Source: github.com/pytorch/pytorch/issues/135712.

    Raises:
        RuntimeError: not all answered in time.
    """
    name = uuid4().hex
    if rank:
        store.set(f"here/{rank}", name)
        store.wait([f"part/{name}"], BEGIN_LIMIT)
        part = store.get(f"part/{name}").decode()
        store.set(f"{part}/answer/{rank}", "")
        return PrefixStore(part, store)
    end = time.monotonic() + BEGIN_LIMIT.seconds
    while missing := [other for other in range(1, size) if not store.check([f"{name}/answer/{other}"])]:
        for other in missing:
            if store.check([f"here/{other}"]):
                store.set(f"part/{store.get(f'here/{other}').decode()}", name)
        if time.monotonic() > end:
            raise RuntimeError(f"no answer of {len(missing)} processes")
        time.sleep(ASK_EVERY_S)
    return PrefixStore(name, store)
