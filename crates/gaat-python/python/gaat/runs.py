"""Run directories: those of ``gaat.train``, and those of the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from torch import nn

from . import _gaat
from .model import Model


class Run:
    """What a training has left: ``record``, the numbers of every epoch, and the files in ``path``.

    ``path`` is ``None`` for a training that kept nothing.
    """

    def __init__(self, path: str | os.PathLike[str] | None, record: dict[str, Any] | None = None) -> None:
        if path is None and record is None:
            raise ValueError("a run needs its directory")
        self.path = None if path is None else Path(path)
        self.record: dict[str, Any] = json.loads(_gaat.run_record(os.fspath(path))) if record is None else record  # type: ignore[arg-type]

    @property
    def status(self) -> str:
        """``done``, ``interrupted``, ``failed`` or ``running``."""
        return str(self.record["status"])

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The numbers of each epoch."""
        return list(self.record["epochs"])

    @property
    def alarms(self) -> list[str]:
        """What was noticed of a collapse, or of a training that gets nowhere, in the order of the epochs."""
        return [alarm for epoch in self.epochs for alarm in epoch["alarms"]]

    @property
    def recipe(self) -> dict[str, Any]:
        """Every setting of the run, by the keys of a recipe file: ``batch-size``, where an argument is ``batch_size``."""
        return dict(self.record["recipe"])

    @property
    def cost_ratio(self) -> float:
        """Passes over those of natural training."""
        return float(self.record["cost_ratio"])

    def __repr__(self) -> str:
        alarms = f", alarms: {len(self.alarms)}" if self.alarms else ""
        return f"gaat.Run({self.path}, {self.status}, {len(self.epochs)} epochs{alarms})"


def load(path: str | os.PathLike[str], model: Model | nn.Module, checkpoint: str = "best") -> Model:
    """Sets the weights of ``model`` to those of a run, or of a weights file in its directory, and gives the model with the run's normalisation.

    A run of :func:`gaat.train`, or one of the command line whose network has the tensors of ``model``: that of its exported program, say.
    The weights fit pixels that are normalised as in training: where ``model`` says nothing of mean and std the model that is given back has
    those of the run, and where it says others they are refused.

    ``checkpoint``: ``"best"``, the epoch that validation chose, or ``"last"``.

    >>> import tempfile, torch, gaat
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> x, y = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8), torch.arange(40) % 10
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = gaat.train(net, (x, y), eps="8/255", epochs=1, batch_size=10, out=folder)
    ...     other = load(folder, nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "last").module
    ...     Run(folder).record["recipe"]["method"]
    'gaat'
    >>> torch.equal(net[1].weight, other[1].weight)
    True
    """
    if checkpoint not in ("best", "last"):
        raise ValueError(f'checkpoint = {checkpoint}: there are "best" and "last"')
    model = Model.of(model)
    shape, mean, std = _described(Path(path), checkpoint)
    trained = None if set(mean) <= {0.0} and set(std) <= {1.0} else (mean, std)
    if model.mean is not None and (model.mean, model.std) != (trained or (mean, std)):
        raise ValueError(
            f"the run normalised pixels by mean {mean} and std {std}, and the model by {model.mean} and {model.std}: leave mean and std out, "
            "and those of the run are taken"
        )
    with model.opened(shape, trains=True) as adapter:
        _gaat.load(adapter, os.fspath(path), checkpoint)
    if trained is not None:
        model.mean, model.std = trained
    return model


def _described(path: Path, checkpoint: str) -> tuple[tuple[int, int, int], tuple[float, ...], tuple[float, ...]]:
    """Image shape, mean and std that a weights file describes; the engine reads the file again, and checks it."""
    file = path / "checkpoints" / f"{checkpoint}.safetensors" if path.is_dir() else path
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        metadata = json.loads(opened.read(length)).get("__metadata__", {})
    for text in metadata.values():
        try:
            told = json.loads(text)
            channels, height, width = told["input"]
            mean, std = tuple(map(float, told["mean"])), tuple(map(float, told["std"]))
        except (ValueError, KeyError, TypeError):
            continue
        return (channels, height, width), mean, std
    raise OSError(f"{file}: does not say which images its network takes; give a run directory, or weights saved by gaat")
