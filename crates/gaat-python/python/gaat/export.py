"""Networks for the command line."""

from __future__ import annotations

import os

import torch
from torch import nn

from .model import Model


def export(
    model: Model | nn.Module,
    example: torch.Tensor,
    path: str | os.PathLike[str],
    *,
    evaluation: str | os.PathLike[str] | None = None,
) -> None:
    """Writes a module as ``torch.export`` does, for ``gaat model info net.pt2``, ``gaat evaluate net.pt2`` and so on.

    The file holds the module alone: give ``mean`` and ``std`` to the command line.

    Args:
        example: Images ``[N, C, H, W]`` with N at least 2, whose number stays free.
        path: The program of the training mode, which tells the evaluation mode too where they differ by layers of torch alone, such as
            batch normalisation and dropout.
        evaluation: A second file, for the program of the evaluation mode, where ``forward`` itself asks ``if self.training:``. The
            command line takes it as ``gaat train --model net.pt2 --eval-program eval.pt2`` and ``gaat evaluate net.pt2 --eval-program
            eval.pt2``.

    >>> import tempfile, pathlib
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(net, torch.rand(2, 1, 8, 8), pathlib.Path(folder, "net.pt2"), evaluation=pathlib.Path(folder, "eval.pt2"))
    ...     sorted(path.name for path in pathlib.Path(folder).iterdir())
    ['eval.pt2', 'net.pt2']
    """
    module = model.module if isinstance(model, Model) else model
    if not isinstance(example, torch.Tensor):
        raise TypeError(f"example: expected a tensor of images, found {type(example).__name__}; the order is model, example, path")
    for place in (path, evaluation):
        if place is not None and not os.fspath(place).endswith(".pt2"):
            raise ValueError(f"{place}: a program of torch.export is a file that ends in .pt2")
    if example.dim() != 4 or len(example) < 2:
        raise ValueError(f"example: expected at least 2 images [N, C, H, W], found {list(example.shape)}")
    modes = [(part, part.training) for part in module.modules()]
    try:
        for training, place in ((True, path), (False, evaluation)):
            if place is not None:
                program = torch.export.export(
                    module.train(training), (example,), dynamic_shapes=({0: torch.export.Dim("n", min=2)},)
                )
                torch.export.save(program, place)
    finally:
        for part, was_training in modes:
            part.training = was_training
