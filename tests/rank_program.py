"""What two processes of torchrun run in tests: three steps on parts of drawn batches, for every kind of loss."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from hemoseg.data import WHOLE, Batch
from hemoseg.nets import build_network, deterministic
from hemoseg.training.distributed import joined
from hemoseg.training.loss import deep_loss
from plans import tiny_configuration, tiny_plan

KINDS = [
    (pooled, ignore, regions) for pooled in (True, False) for ignore in (None, 3) for regions in ((), ((1, 2), (2,)))
]
REGIONS = ({"labels": (1, 2), "paint": 1}, {"labels": (2,), "paint": 2})
PATCHES, STEPS = 5, 3
"""Parts of 2 and 3 patches."""


@dataclass(frozen=True)
class Drawn:
    """Patches with unequal shares of classes and of ignored voxels: the first two are mostly ignored."""

    ignore: int | None
    batch_size: int = PATCHES

    def batch(self, iteration, part=WHOLE):
        """A batch of noise that leans to its labels, or a part of it."""
        generator = np.random.default_rng(iteration)
        labels = generator.integers(0, 3, (PATCHES, 4, 16, 16)).astype(np.uint8)
        labels[:2, :3] = 0 if self.ignore is None else self.ignore
        inputs = (generator.normal(size=(PATCHES, 2, 4, 16, 16)) + labels[:, None]).astype(np.float32)
        return Batch(inputs=inputs[part], labels=labels[part], cases=tuple("abcde")[part])

    def names_of(self, _iteration):
        """Names of all cases."""
        return tuple("abcde")

    def validation_batch(self, number, part=WHOLE):
        """Another one."""
        return self.batch(1000 + number, part)


def train(ranks):
    """{name: tensor}: losses, Dice, gradients of the first step and weights after the last, of every kind."""
    found = {}
    for pooled, ignore, regions in KINDS:
        plan = tiny_plan(tiny_configuration(), **({"regions": REGIONS} if regions else {}))
        network = build_network(plan, plan.configurations[0])
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)
        source = ranks.share(Drawn(ignore))
        key = f"{pooled} {ignore} {bool(regions)}"
        for step in range(STEPS):
            part = source.batch(step)
            inputs, labels = torch.from_numpy(part.inputs), torch.from_numpy(part.labels).long()
            loss, dice = deep_loss(
                network(inputs), labels, pooled=pooled, ignore=ignore, regions=regions, reduce=ranks.add
            )
            optimizer.zero_grad()
            loss.backward()
            ranks.add_gradients(network)
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 12.0)
            if step == 0:
                named = network.named_parameters()
                found |= {f"{key} gradient {name}": p.grad.clone() for name, p in named if p.grad is not None}
            optimizer.step()
            found[f"{key} numbers {step}"] = torch.stack([loss.detach(), norm, *dice])
        found |= {f"{key} weight {name}": p.detach().contiguous() for name, p in network.named_parameters()}
    return found


def main():
    """Train as one rank; its results go to a file."""
    with joined("cpu") as ranks, deterministic("cpu"):
        torch.set_num_threads(1)
        found = train(ranks)
        found["signal"] = torch.tensor(ranks.first_signal(15 if ranks.rank == 1 else None))
        found["any"] = torch.tensor(ranks.any(ranks.rank == 1))
        found["no signal"] = torch.tensor(ranks.first_signal(None) is None)
        save_file(found, Path(sys.argv[1]) / f"{ranks.rank}.safetensors")


if __name__ == "__main__":
    main()
