"""accelerate: the loop of one's own, on whatever devices and processes ``accelerate launch`` gives."""

from typing import Any

import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

import gaat


def train(
    accelerator: Accelerator,
    net: nn.Module,
    optimizer: Optimizer,
    loader: DataLoader,
    eps: float | str,
    epochs: int,
    method: str = "gaat",
    **recipe: Any,
) -> gaat.Method:
    """Trains ``net`` on the batches of ``loader``, pixels in [0, 1] and labels."""
    net, optimizer, loader = accelerator.prepare(net, optimizer, loader)
    # The attack takes the network itself: what is wrapped round it joins the gradients of the weights, which no attack makes.
    model = gaat.Model(accelerator.unwrap_model(net))
    adversary = gaat.Method(method, model, eps=eps, seed=accelerator.process_index, **recipe)
    net.train()
    for _ in range(epochs):
        for x, y in loader:
            with accelerator.accumulate(net):
                delta = adversary.perturb(x, y)
                loss = F.cross_entropy(net(x + delta), y)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
            adversary.observe(loss)
    for alarm in adversary.alarms:
        accelerator.print(f"step {alarm.step}: {alarm.message}")
    return adversary
