"""What one batch does: to the weights in training, to a tally in validation."""

from math import isfinite
from pathlib import Path

import torch
from torch import Tensor

from hemoseg.data import Batch
from hemoseg.errors import ResourceError
from hemoseg.nets import build_network
from hemoseg.plan import Configuration, Layout, Plan, Recipe
from hemoseg.training.distributed import ALONE, Ranks
from hemoseg.training.execution import lay_out, lay_out_network
from hemoseg.training.loss import deep_loss
from hemoseg.training.validation import Tally, hard_counts


class Learner:
    """A network, its optimizer, and how a batch moves them.

    Args:
        plan: the plan.
        configuration: the network.
        ignore: number of voxels without a say in the labels of batches; None where there are none.
        device: `cpu` or `cuda`.
        layout: order in memory of what is computed.
        halved: whether a configuration that is planned in bf16 is computed in bf16.
        ranks: all processes that take a part of each batch.
        fold: whose training it is; it begins with weights of its own.
    """

    def __init__(
        self,
        plan: Plan,
        configuration: Configuration,
        *,
        ignore: int | None,
        device: str,
        layout: Layout = "contiguous",
        halved: bool = True,
        ranks: Ranks = ALONE,
        fold: int = 0,
    ) -> None:
        self.network = build_network(plan, configuration, fold=fold).to(device)
        lay_out_network(self.network, layout)
        self.optimizer = make_optimizer(self.network, plan.recipe)
        self.clip_norm = plan.recipe.clip_norm
        self.pooled = configuration.batch_dice
        self.regions = plan.table.regions
        self.bf16 = halved and configuration.precision == "bf16"
        self.ignore = ignore
        self.device = device
        self.layout = layout
        self.ranks = ranks

    def step(self, batch: Batch, rate: float, *, where: Path, iteration: int) -> tuple[float, list[float]]:
        """One optimizer step: (loss, soft Dice per foreground class).

        Raises:
            ResourceError: loss or gradient are not finite; the weights are left as they were.
        """
        outputs, labels = self._forward(batch)
        loss, dice = self._loss(outputs, labels)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.ranks.add_gradients(self.network)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        value = float(loss.detach())
        if not (isfinite(value) and isfinite(float(norm))):
            what = "the loss" if not isfinite(value) else "the norm of the gradient"
            raise _not_finite(f"{what} is {value if not isfinite(value) else float(norm)}", batch, where, iteration)
        self.optimizer.step()
        return value, [float(value) for value in dice]

    def validate(self, batch: Batch, tally: Tally) -> Tally:
        """The tally with the batch in it; no weight moves."""
        self.network.eval()
        try:
            with torch.no_grad():
                outputs, labels = self._forward(batch)
                loss, _ = self._loss(outputs, labels)
                counts = hard_counts(outputs[0].float(), labels, ignore=self.ignore, regions=self.regions)
                counts = self.ranks.add(counts)
        finally:
            self.network.train()
        return tally.plus(float(loss), counts.tolist())

    def _forward(self, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """Logits of every output, and the labels on the device."""
        inputs = lay_out(torch.from_numpy(batch.inputs).to(self.device), self.layout)
        labels = torch.from_numpy(batch.labels).to(self.device).long()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            return self.network(inputs), labels

    def _loss(self, outputs: list[Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
        return deep_loss(
            outputs, labels, pooled=self.pooled, ignore=self.ignore, regions=self.regions, reduce=self.ranks.add
        )


def make_optimizer(network: torch.nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD as nnU-Net has it: Nesterov momentum, weight decay on all parameters."""
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )


def _not_finite(found: str, batch: Batch, where: Path, iteration: int) -> ResourceError:
    cases = ", ".join(dict.fromkeys(batch.cases))
    is_saved = (where / "state.safetensors").is_file()
    return ResourceError(
        f"{found} at iteration {iteration}, on patches of {cases}",
        where=where,
        expected=f"a finite one; {'the state saved last is kept' if is_saved else 'no state was saved before it'}",
        remedy="check these cases with `hemoseg check`; a run with another --seed, or fp32 in plan.json, may help",
    )
