"""Hugging Face: a ``Trainer`` that trains an image classifier on perturbed images.

The data set gives ``pixel_values`` in [0, 1] (an image processor with ``do_normalize=False``) and ``labels``; ``mean`` and ``std`` are
what the network wants its pixels normalised by.
"""

from typing import Any

import torch
import torch.nn.functional as F
from transformers import Trainer

import gaat


class AdversarialTrainer(Trainer):
    """A ``Trainer`` by a method of gaat; ``alarms`` of ``adversary`` tell of a collapse."""

    def __init__(
        self,
        *arguments: Any,
        method: str = "gaat",
        eps: float | str,
        mean: tuple[float, ...] = (0.5, 0.5, 0.5),
        std: tuple[float, ...] = (0.5, 0.5, 0.5),
        **words: Any,
    ) -> None:
        super().__init__(*arguments, **words)
        self.mean, self.std = (torch.tensor(numbers).view(1, -1, 1, 1) for numbers in (mean, std))
        # self.model is the network itself, whatever accelerate wraps it in.
        self.adversary = gaat.Method(
            method, gaat.Model(self.model, mean, std), eps=eps, seed=self.args.seed + self.args.process_index
        )

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **words: Any) -> Any:
        x, y = inputs["pixel_values"], inputs["labels"]
        trains = model.training
        if trains:
            x = x + self.adversary.perturb(x, y)
        inputs = {**inputs, "pixel_values": (x - self.mean.to(x)) / self.std.to(x)}
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **words)
        if trains:
            # `loss` may be scaled for the accumulation of gradients.
            self.adversary.observe(F.cross_entropy(outputs.logits.detach(), y))
        return (loss, outputs) if return_outputs else loss
