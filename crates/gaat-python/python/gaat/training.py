"""Whole trainings: any module, by any method of gaat, with a run directory that they continue from."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from . import _gaat
from ._data import steady, to_bytes
from ._recipe import check_keys, to_json
from .model import Model
from .runs import Run

_LOG = logging.getLogger("gaat")


class _Stop:
    """Remembers an interrupt until the step is over, so that the run ends with its state saved; the second one ends it at once."""

    def __init__(self) -> None:
        self.asked = False
        self._is_main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> _Stop:
        if self._is_main:
            self._before = signal.signal(signal.SIGINT, self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_main:
            signal.signal(signal.SIGINT, self._before)

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def train(
    model: Model | nn.Module,
    data: Any,
    *,
    method: str = "gaat",
    eps: float | str,
    norm: str = "Linf",
    epochs: int = 30,
    validation: Any = 0.1,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    classes: Sequence[str] | None = None,
    on_event: Callable[[dict[str, Any]], bool | None] | None = None,
    **recipe: Any,
) -> Run:
    """Trains a model in place, as the command line's ``gaat train`` does.

    The images are kept in memory as bytes. Augmentation is gaat's own: ``crop_padding=4, flip=True``.

    Args:
        data: ``(pixels, labels)``, a ``Dataset`` or a ``DataLoader``, whose batch size is taken; pixels are bytes or multiples of 1/255.
        method: ``natural``, ``rat``, ``gaat``, ``fgsm-rs``, ``n-fgsm``, ``free``, ``trades``, ...; a wrong name lists them all.
        eps: Radius of the ball in units of pixels, a number or a text such as ``"8/255"``; ``norm`` is ``"Linf"`` or ``"L2"``.
        validation: A share of ``data``, or images as ``data``: they choose the best epoch. ``None``: no validation.
        out: The run directory. Nothing is kept without one.
        resume: Continues from the state in ``out``, bit for bit on a CPU; begins where there is none.
        on_event: Called with every event, a ``dict`` with the key ``event``: ``step`` (with ``step``, ``loss``), ``epoch`` (with ``record``,
            the numbers of the epoch), ...; ``False`` stops the run with its state saved. Epochs are told to the logger ``gaat`` too, at
            the level INFO, and alarms at WARNING.
        recipe: Other keys of a recipe with underscores, ``batch_size``, ``learning_rate``, ``schedule``, ``seed``, ``weight_averaging``, ...:
            ``gaat train --help`` tells of each, and ``Run.recipe`` holds the values of a run. A key without effect here is refused.

    Raises:
        KeyboardInterrupt: After Ctrl-C, when the step is over and the state saved.
        ValueError: When data, model or a key do not fit; what the module raises comes back as it was.

    >>> import torch
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> x, y = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8), torch.arange(40) % 10
    >>> run = train(net, (x, y), method="gaat", eps="8/255", epochs=2, batch_size=10)
    >>> run.status, len(run.epochs)
    ('done', 2)
    """
    check_keys(recipe)
    model = Model.of(model)
    pixels, labels = steady(data)
    pixels = to_bytes(pixels)
    given = None
    validation = 0.0 if validation is None else validation
    if not isinstance(validation, (int, float)):
        seen, answers = steady(validation)
        given = (to_bytes(seen), answers.long())
    keys: dict[str, Any] = {
        "dataset": "folder",
        "batch_size": data.batch_size if isinstance(data, DataLoader) and data.batch_size else 128,
        "crop_padding": 0,
        "flip": False,
        **recipe,
        "method": method,
        "epsilon": eps,
        "norm": norm.lower(),
        "epochs": epochs,
        "model": "own-network",
        "normalization": _written(model),
        "precision": "bf16" if model.computes_in() == torch.bfloat16 else "fp32",
        "validation_fraction": 0.0 if given is not None else float(validation),
    }
    text = to_json(keys)
    with _Stop() as stop:

        def listen(event: str) -> bool | None:
            told = json.loads(event)
            if told.get("event") == "epoch":
                numbers = told["record"]
                _LOG.info("epoch %s: %s", numbers["epoch"], numbers)
                for alarm in numbers["alarms"]:
                    _LOG.warning("epoch %s: %s", numbers["epoch"], alarm)
            goes_on = on_event(told) if on_event else None
            return False if stop.asked else goes_on

        with model.opened(pixels.shape[1:], trains=True, needs_gradient=method != "natural") as adapter:
            adapter.check_trainable()
            model.check_labels(labels)
            names = [str(index) for index in range(adapter.classes)] if classes is None else list(classes)
            try:
                found = _gaat.train(
                    adapter,
                    (pixels, labels.long()),
                    given,
                    classes=names,
                    recipe=text,
                    out=None if out is None else os.fspath(out),
                    resume=resume,
                    listen=listen,
                )
            except FileExistsError as error:
                raise FileExistsError(f"{error} (resume=True continues a run that is there)") from None
            record = json.loads(found)
    if stop.asked and record["status"] != "done":
        where = "nothing was kept" if out is None else f"the state is saved in {out}, and resume=True continues from it"
        raise KeyboardInterrupt(f"the training was stopped; {where}")
    return Run(out, record)


def _written(model: Model) -> str:
    """The normalisation of ``model`` as a recipe has it, so that a run does not continue with another one."""
    if model.mean is None or model.std is None:
        return "none"
    return "/".join(",".join(map(repr, numbers)) for numbers in (model.mean, model.std))
