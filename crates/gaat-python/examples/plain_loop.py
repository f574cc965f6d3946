"""A loop of PyTorch alone that trains by a method of gaat: two lines more than natural training."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import gaat


def train(net: nn.Module, loader: DataLoader, eps: float | str, epochs: int, method: str = "gaat") -> gaat.Method:
    """Trains ``net`` on the batches of ``loader``, pixels in [0, 1] and labels."""
    adversary = gaat.Method(method, net, eps=eps, total_steps=epochs * len(loader))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    net.train()
    for _ in range(epochs):
        for x, y in loader:
            delta = adversary.perturb(x, y)
            loss = F.cross_entropy(net(x + delta), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            adversary.observe(loss)
    return adversary
