"""Networks for the command line."""

from __future__ import annotations

import os

import torch
from torch import nn

from .model import Model


def export(model: Model | nn.Module, example: torch.Tensor, path: str | os.PathLike[str]) -> None:
    """Writes a module as ``torch.export`` does, for ``gaat model info net.pt2``, ``gaat evaluate net.pt2`` and so on.

    ``example``: images ``[N, C, H, W]`` with N at least 2, whose number stays free. The file holds the module alone: give ``mean`` and
    ``std`` to the command line.
    """
    module = model.module if isinstance(model, Model) else model
    if example.dim() != 4 or len(example) < 2:
        raise ValueError(f"example: expected at least 2 images [N, C, H, W], found {list(example.shape)}")
    modes = [(part, part.training) for part in module.modules()]
    try:
        # The graph of training holds what evaluation needs too.
        program = torch.export.export(module.train(), (example,), dynamic_shapes=({0: torch.export.Dim("n", min=2)},))
        torch.export.save(program, path)
    finally:
        for part, training in modes:
            part.training = training
