"""A loop of PyTorch alone that trains by a method of gaat: two lines more than natural training."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

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


if __name__ == "__main__":
    # Ten classes of 8x8 images: a pattern each, with noise.
    torch.manual_seed(0)
    patterns, y = torch.rand(10, 1, 8, 8), torch.randint(0, 10, (1000,))
    x = (0.5 + 0.4 * (patterns[y] - 0.5) + 0.15 * torch.randn(1000, 1, 8, 8)).clamp(0, 1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    adversary = train(net, DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True), eps=0.05, epochs=4)
    print(gaat.evaluate(net, (x, y), eps=0.05, attacks=["fgsm", "pgd"]))
    print("alarms:", adversary.alarms, "gain ratio:", adversary.gain_ratio)
