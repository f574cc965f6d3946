"""A training method in one's own loop."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from . import _gaat
from ._recipe import check_keys, to_json
from .model import Model


class Alarm(NamedTuple):
    """A collapse: robust to one step, open to many."""

    step: int
    message: str


class Method:
    """What a training method does to a batch, for a loop of one's own: optimiser, data and schedule stay with the loop.

    Either perturb, and tell the loss::

        delta = method.perturb(x, y)
        loss = F.cross_entropy(net(x + delta), y)
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        method.observe(loss)

    or take the loss of the method, which is the only way for ``trades``, ``mart``, ``gradalign`` and ``nuat``::

        loss = method.loss(x, y)
        optimizer.zero_grad(); loss.backward(); optimizer.step()

    ``alarms`` lists what was noticed of a collapse. Methods made of the backward pass itself, ``free``, ``gaat-free``, ``fgsm-mep``,
    ``gaat-memory`` and ``awp+...``, need :func:`gaat.train`.

    Args:
        method: ``natural``, ``rat``, ``gaat``, ``gaat-paper``, ``gaat-paper-diagonal``, ``fgsm-rs``, ``n-fgsm``, ``zerograd``, ``trades``,
            ``mart``, ``gradalign`` or ``nuat``; ``liet`` (by its loss) and ``fgsm-uap`` with ``consistency=0``, ``sora`` with
            ``step_limit=0``: those terms need the backward pass too.
        eps: Radius of the ball in units of pixels, a number or a text such as ``"8/255"``; ``norm`` is ``"Linf"`` or ``"L2"``.
        total_steps: Steps of the whole training; what grows over it, ``epsilon_warmup`` say, needs them. Without them ``gaat`` stays in
            the ball all the time; with them it leaves the ball in the second half where its gain ratio allows (``project``).
        recipe: Keys of a recipe that are the method's own: ``steps``, ``step_size``, ``curvature``, ``refreshes``, ``seed``, ...; one that a
            loop does itself is refused.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> method = Method("rat", net, eps=0.1, steps=3)
    >>> x, y = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])
    >>> delta = method.perturb(x, y)
    >>> loss = nn.functional.cross_entropy(net(x + delta), y)
    >>> method.observe(loss)
    >>> method.passes, method.alarms
    ((12, 12, 0), [])
    """

    def __init__(
        self,
        method: str,
        model: Model | nn.Module,
        *,
        eps: float | str,
        norm: str = "Linf",
        total_steps: int | None = None,
        **recipe: Any,
    ) -> None:
        self.model = Model.of(model)
        self.alarms: list[Alarm] = []
        self._total = total_steps
        check_keys(recipe, has_own_loop=True)
        if recipe.get("epsilon_warmup") and total_steps is None:
            raise ValueError("epsilon_warmup grows over the whole training: say how long it is by total_steps")
        if recipe.get("project") == "adaptive" and total_steps is None:
            raise ValueError("project='adaptive' leaves the ball late in the training: say how long it is by total_steps")
        keys = {"dataset": "folder", "model": "own-network", **recipe, "method": method, "epsilon": eps, "norm": norm.lower()}
        self._recipe = to_json(keys)
        _gaat.check_recipe(self._recipe)
        self._climbs = method != "natural"
        self._inner: _gaat.Method | None = None
        self._shape: tuple[int, ...] = ()

    def perturb(self, x: torch.Tensor, y: torch.Tensor, index: torch.Tensor | None = None) -> torch.Tensor:
        """The perturbation of ``x`` to train on, ``[N, C, H, W]``: ``x + delta`` lies in [0, 1], and in the ball unless the method goes
        without projection (``project``).

        ``x``: pixels in [0, 1] in the dtype of the module, ``[N, C, H, W]``; ``y``: classes, int64, ``[N]``; ``index``: places of the images
        in the training set, ``[N]``, for methods that remember images.
        """
        x, y = self.model.batch(x, y)
        with self.model.opened(x.shape[1:], needs_gradient=self._climbs) as adapter:
            self.model.check_labels(y)
            images: torch.Tensor = self._method(adapter, x).perturb(adapter, x, y, self._index(x, index))
        return images - x

    def loss(self, x: torch.Tensor, y: torch.Tensor, index: torch.Tensor | None = None) -> torch.Tensor:
        """The loss of the method, a mean over the batch, with its graph; it is observed already. Arguments as :meth:`perturb`."""
        x, y = self.model.batch(x, y)
        with self.model.opened(x.shape[1:], trains=True, needs_gradient=self._climbs) as adapter:
            self.model.check_labels(y)
            losses: torch.Tensor = self._method(adapter, x).losses(adapter, x, y, self._index(x, index))
            loss = losses.mean()
        self.observe(loss)
        return loss

    def observe(self, loss: torch.Tensor | float) -> None:
        """Takes note of the mean loss at the perturbed images."""
        value = float(loss.detach()) if isinstance(loss, torch.Tensor) else float(loss)
        if self._inner is None:
            raise ValueError("there is no step that a loss could be of: perturb a batch first")
        with self.model.opened(self._shape) as adapter:
            alarm = self._inner.observe(adapter, value)
        if alarm is not None:
            self.alarms.append(Alarm(*alarm))

    @property
    def gain_ratio(self) -> float | None:
        """How well the attack's model predicts its gain, smoothed: near 1 it is good, near 0 useless; ``None`` where nothing predicts."""
        return None if self._inner is None else self._inner.gain_ratio()

    @property
    def passes(self) -> tuple[int, int, int]:
        """Passes of attacks and checks so far, in images: forward, backward to the pixels, Hessian-vector products."""
        return (0, 0, 0) if self._inner is None else self._inner.passes()

    def _method(self, adapter: Any, x: torch.Tensor) -> _gaat.Method:
        if self._inner is None:
            self._inner = _gaat.Method(adapter, self._recipe, self._total)
            self._shape = tuple(x.shape[1:])
        elif self._shape != tuple(x.shape[1:]):
            raise ValueError(f"x: expected images of {list(self._shape)}, as before, found {list(x.shape[1:])}")
        return self._inner

    @staticmethod
    def _index(x: torch.Tensor, index: torch.Tensor | None) -> torch.Tensor:
        return torch.arange(len(x), device=x.device) if index is None else index.to(x.device)
