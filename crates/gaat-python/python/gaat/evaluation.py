"""The verdict on a model: clean accuracy, and robust accuracy as the worst case over attacks."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import _gaat
from ._adapter import EVAL
from ._data import check_range, collect
from .model import Model

Named = str | tuple[str, dict[str, Any]]
_LOG = logging.getLogger("gaat")


class Verdict:
    """What a judgement found; shares are of all images judged.

    ``data`` is the whole of it, as the command line's ``--json`` gives it.
    """

    def __init__(self, data: dict[str, Any], name: str = "network") -> None:
        self.data, self.name = data, name

    @property
    def clean(self) -> float:
        """Accuracy on clean images."""
        return float(self.data["clean_accuracy"])

    @property
    def robust(self) -> float:
        """Share of the images that are classified correctly clean and under every attack."""
        return float(self.data["robust_accuracy"])

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of ``robust`` (Wilson)."""
        low, high = self.data["robust_interval"]
        return low, high

    @property
    def attacks(self) -> dict[str, float]:
        """Robust accuracy under each attack alone, by its description, such as ``pgd-50x10``."""
        return {attack["name"]: attack["robust_accuracy"] for attack in self.data["attacks"]}

    @property
    def alarms(self) -> list[str]:
        """Signs that the numbers are too good; empty is what one wants."""
        return list(self.data["alarms"])

    @property
    def examples(self) -> int:
        """Images judged."""
        return int(self.data["examples"])

    @property
    def seconds(self) -> float:
        """What the attacks took."""
        return float(self.data["seconds"])

    def report(self, path: str | os.PathLike[str]) -> None:
        """Writes the verdict as one HTML page, which needs no other file."""
        Path(path).write_text(_gaat.report(json.dumps(self.data), self.name), encoding="utf-8")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes ``data`` as JSON."""
        Path(path).write_text(json.dumps(self.data, indent=1) + "\n", encoding="utf-8")

    def __repr__(self) -> str:
        low, high = self.interval
        alarms = f", alarms: {len(self.alarms)}" if self.alarms else ""
        return f"clean {self.clean:.2%}, robust {self.robust:.2%} ({low:.2%} to {high:.2%}) of {self.examples} images{alarms}"


def evaluate(
    model: Model | nn.Module,
    data: Any,
    *,
    eps: float | str,
    norm: str = "Linf",
    attacks: Sequence[Named] = ("autoattack",),
    batch_size: int = 250,
    n: int | None = None,
    seed: int = 0,
    state: str | os.PathLike[str] | None = None,
    classes: Sequence[str] | None = None,
    probe_images: int = 100,
    noise_draws: int = 10,
    progress: Callable[[str, int, int, float], Any] | None = None,
) -> Verdict:
    """Judges a model in evaluation mode, as the command line's ``gaat evaluate`` does.

    Args:
        data: ``(pixels, labels)``, a ``Dataset``, a ``DataLoader`` or anything that gives batches; floating-point pixels in [0, 1], or
            bytes.
        eps: Radius of the ball in units of pixels, a number or a text such as ``"8/255"``; ``norm`` is ``"Linf"`` or ``"L2"``.
        attacks: Names, with their numbers where these are not to be customary: ``["fgsm", ("pgd", {"steps": 20, "restarts": 1})]``.
            Numbers: ``steps``, ``restarts``, ``step_size``, ``random_start``, ``queries``, ``searches``, ``targets``, ``samples``.
        batch_size: Images of one pass.
        n: Judge only so many images, chosen by ``seed``.
        seed: Of random starts too: the same program gives the same verdict on a processor.
        state: A file that the judgement continues from where it was stopped.
        classes: Names of the classes.
        probe_images: Images that random noise, ``noise_draws`` draws of it, and other budgets are tried on, for the alarms; 0 leaves that out.
        progress: Called after every batch with attack, images done, images in all, and the share that withstood.

    Raises:
        ValueError: When images, labels or numbers do not fit; what the module raises comes back as it was.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> x, y = torch.rand(20, 1, 8, 8), torch.arange(20) % 10
    >>> verdict = evaluate(net, (x, y), eps="8/255", attacks=["fgsm", ("pgd", {"steps": 5, "restarts": 1})], probe_images=0)
    >>> list(verdict.attacks), verdict.robust <= verdict.clean
    (['fgsm', 'pgd-5'], True)
    """
    model = Model.of(model)
    sample = model.sample
    pixels, labels = collect(data)
    if pixels.dtype == torch.uint8:
        if pixels.dim() != 4:
            raise ValueError(f"expected images [N, C, H, W], found {list(pixels.shape)}")
    else:
        check_range(pixels)
        pixels = pixels.to(sample.dtype)
    labels = labels.long()
    named = _named(attacks)
    with model.opened(pixels.shape[1:]) as adapter:
        model.check_labels(labels)
        names = [str(index) for index in range(adapter.classes)] if classes is None else list(classes)
        if len(names) != adapter.classes:
            raise ValueError(f"classes has {len(names)} names, the module {adapter.classes} logits")
        found = _gaat.evaluate(
            adapter,
            pixels.to(sample.device),
            labels.to(sample.device),
            attacks=[(name, json.dumps(numbers)) for name, numbers in named],
            norm=norm,
            eps=eps,
            batch_size=batch_size,
            limit=n,
            seed=seed,
            classes=names,
            probes=(probe_images, noise_draws) if probe_images else None,
            state=None if state is None else os.fspath(state),
            listen=progress,
        )
    verdict = Verdict(json.loads(found), model.name)
    if verdict.clean * len(names) < 1.5:
        _LOG.warning(
            "clean accuracy %.1f %% of %d classes is hardly better than chance: are the pixels normalised twice, or not at all?",
            100 * verdict.clean,
            len(names),
        )
    return verdict


def _named(attacks: Sequence[Named]) -> list[tuple[str, dict[str, Any]]]:
    """Attacks with their numbers, refused where they are not the names of any."""
    wanted = 'attacks: expected a list such as ["fgsm", ("pgd", {"steps": 20})]'
    if isinstance(attacks, str) or not isinstance(attacks, Sequence):
        raise TypeError(f"{wanted}, found {attacks!r}")
    if not attacks:
        raise ValueError(f"{wanted}, found none: without an attack every image would count as robust")
    named: list[tuple[str, dict[str, Any]]] = []
    for attack in attacks:
        if isinstance(attack, str):
            named.append((attack, {}))
        elif isinstance(attack, tuple) and len(attack) == 2 and isinstance(attack[0], str) and isinstance(attack[1], dict):
            named.append(attack)
        else:
            raise TypeError(f"{wanted}, found {attack!r} in it")
    return named


def clean_accuracy(model: Model | nn.Module, x: torch.Tensor, y: torch.Tensor, batch_size: int = 250) -> float:
    """Share of the images that the model classifies correctly, in evaluation mode."""
    model = Model.of(model)
    device = model.sample.device
    right = 0
    with model.opened(x.shape[1:]) as adapter, torch.no_grad(), model.alone():
        for at in range(0, len(x), batch_size):
            answers = adapter(x[at : at + batch_size].to(device).clone(), EVAL).argmax(1)
            right += int((answers.cpu() == y[at : at + batch_size].cpu()).sum())
    return right / len(x)
