"""Attacks under the names and words of torchattacks: ``gaat.attacks.PGD(model, eps="8/255", alpha="2/255", steps=10)(x, y)``.

Lengths are numbers or texts such as ``"8/255"``. Every result lies in the ball and in [0, 1]. Random starts come from ``seed`` and the
number of the call: the same program gives the same images, and torch's own generators stay untouched.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from . import _gaat
from ._adapter import EVAL
from .model import Model

Length = float | int | str


def _same(name: str, value: Any, only: Any) -> None:
    if value != only:
        raise ValueError(f"{name} = {value}: gaat's attack has {name} = {only} alone")


class Attack:
    """An attack on a model; call it with pixels ``[N, C, H, W]`` in [0, 1] and labels ``[N]``.

    ``passes`` counts what all calls took, in images: forward, and backward to the pixels.
    """

    _to_the_end = False

    def __init__(self, model: Model | nn.Module, name: str, eps: Length, norm: str, seed: int = 0, **numbers: Any) -> None:
        self.model = Model.of(model)
        self.name, self.eps, self.norm, self.seed = name, eps, norm, seed
        self.numbers = {key: value for key, value in numbers.items() if value is not None}
        self.passes = (0, 0)
        self._calls = 0

    def __repr__(self) -> str:
        numbers = "".join(f", {key}={value}" for key, value in self.numbers.items())
        return f"gaat.attacks.{type(self).__name__}({self.model.name}, eps={self.eps}, norm={self.norm}{numbers})"

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The perturbed images, ``[N, C, H, W]``, on the device of ``x``."""
        perturbed = self._perturb(x, y, self._calls)
        self._calls += 1
        return perturbed

    def _perturb(self, x: torch.Tensor, y: torch.Tensor, index: int) -> torch.Tensor:
        x, y = self.model.batch(x, y)
        with self.model.opened(x.shape[1:], needs_gradient=self.name != "square") as adapter:
            self.model.check_labels(y)
            perturbed, passes = _gaat.perturb(
                adapter,
                x,
                y,
                name=self.name,
                numbers=json.dumps(self.numbers),
                norm=self.norm,
                eps=self.eps,
                seed=self.seed,
                index=index,
                to_the_end=self._to_the_end,
            )
        self.passes = (self.passes[0] + passes[0], self.passes[1] + passes[1])
        return perturbed


class FGSM(Attack):
    """One step of length ``eps`` (Goodfellow et al. 2015)."""

    _to_the_end = True

    def __init__(self, model: Model | nn.Module, eps: Length = "8/255", *, norm: str = "Linf", seed: int = 0) -> None:
        super().__init__(model, "fgsm", eps, norm, seed)


class PGD(Attack):
    """``steps`` steps of length ``alpha``, each projected (Madry et al. 2018); every image takes all of them.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> attack = PGD(net, eps="8/255", alpha="2/255", steps=10)
    >>> x, y = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])
    >>> perturbed = attack(x, y)
    >>> bool((perturbed - x).abs().max() <= 8 / 255 + 1e-6), attack.passes
    (True, (40, 40))
    """

    _to_the_end = True

    def __init__(
        self,
        model: Model | nn.Module,
        eps: Length = "8/255",
        alpha: Length = "2/255",
        steps: int = 10,
        random_start: bool = True,
        *,
        norm: str = "Linf",
        seed: int = 0,
    ) -> None:
        super().__init__(
            model, "pgd", eps, norm, seed, steps=steps, step_size=alpha, random_start=bool(random_start), restarts=1
        )


class PGDL2(PGD):
    """PGD in the L2 norm."""

    def __init__(
        self,
        model: Model | nn.Module,
        eps: Length = 1.0,
        alpha: Length = 0.2,
        steps: int = 10,
        random_start: bool = True,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__(model, eps, alpha, steps, random_start, norm="L2", seed=seed)


class MIFGSM(Attack):
    """Steps along the accumulated gradient (Dong et al. 2018)."""

    _to_the_end = True

    def __init__(
        self,
        model: Model | nn.Module,
        eps: Length = "8/255",
        alpha: Length = "2/255",
        steps: int = 10,
        decay: float = 1.0,
        *,
        norm: str = "Linf",
        seed: int = 0,
    ) -> None:
        _same("decay", decay, 1.0)
        super().__init__(model, "mi-fgsm", eps, norm, seed, steps=steps, step_size=alpha)


class APGD(Attack):
    """Auto-PGD (Croce and Hein 2020) on the cross-entropy, ``loss="ce"``, or the difference of logits ratio, ``loss="dlr"``."""

    def __init__(
        self,
        model: Model | nn.Module,
        norm: str = "Linf",
        eps: Length = "8/255",
        steps: int = 10,
        n_restarts: int = 1,
        seed: int = 0,
        loss: str = "ce",
        eot_iter: int = 1,
        rho: float = 0.75,
        verbose: bool = False,
    ) -> None:
        _same("rho", rho, 0.75)
        if loss not in ("ce", "dlr"):
            raise ValueError(f'loss = {loss}: there are "ce" and "dlr"')
        super().__init__(model, f"apgd-{loss}", eps, norm, seed, steps=steps, restarts=n_restarts, samples=eot_iter)


class APGDT(Attack):
    """Auto-PGD towards each of the likeliest wrong classes, at most ``n_classes - 1``."""

    def __init__(
        self,
        model: Model | nn.Module,
        norm: str = "Linf",
        eps: Length = "8/255",
        steps: int = 10,
        n_restarts: int = 1,
        seed: int = 0,
        eot_iter: int = 1,
        rho: float = 0.75,
        n_classes: int = 10,
        verbose: bool = False,
    ) -> None:
        _same("rho", rho, 0.75)
        _same("eot_iter", eot_iter, 1)
        super().__init__(model, "apgd-t", eps, norm, seed, steps=steps, restarts=n_restarts, targets=n_classes - 1)


class FAB(Attack):
    """Fast adaptive boundary (Croce and Hein 2020); with ``multi_targeted`` towards each of the likeliest wrong classes.

    It looks for the nearest misclassified point, which may lie beyond ``eps``. Such a point is brought back to the ball and the model asked
    once more, so that an image may fall that the authors' code and torchattacks, which give such points up, count as one that withstands.
    """

    def __init__(
        self,
        model: Model | nn.Module,
        norm: str = "Linf",
        eps: Length = "8/255",
        steps: int = 10,
        n_restarts: int = 1,
        alpha_max: float = 0.1,
        eta: float = 1.05,
        beta: float = 0.9,
        verbose: bool = False,
        seed: int = 0,
        multi_targeted: bool = False,
        n_classes: int = 10,
    ) -> None:
        for name, value, only in (("alpha_max", alpha_max, 0.1), ("eta", eta, 1.05), ("beta", beta, 0.9)):
            _same(name, value, only)
        targets = n_classes - 1 if multi_targeted else None
        name = "fab-t" if multi_targeted else "fab"
        super().__init__(model, name, eps, norm, seed, steps=steps, restarts=n_restarts, targets=targets)


class Square(Attack):
    """Random search with squares, without gradients (Andriushchenko et al. 2020).

    The squares shrink after as many queries as in AutoAttack, whatever ``n_queries``; torchattacks rescales that unless told otherwise.
    """

    def __init__(
        self,
        model: Model | nn.Module,
        norm: str = "Linf",
        eps: Length = "8/255",
        n_queries: int = 5000,
        n_restarts: int = 1,
        p_init: float = 0.8,
        loss: str = "margin",
        resc_schedule: bool = False,
        seed: int = 0,
        verbose: bool = False,
    ) -> None:
        for name, value, only in (("p_init", p_init, 0.8), ("loss", loss, "margin"), ("resc_schedule", resc_schedule, False)):
            _same(name, value, only)
        super().__init__(model, "square", eps, norm, seed, queries=n_queries, restarts=n_restarts)


class CW(Attack):
    """The least L2 perturbation by gradient descent (Carlini and Wagner 2017), kept to the ball of radius ``eps``."""

    # By position torchattacks means c and steps here, and a radius it does not have.
    def __init__(
        self, model: Model | nn.Module, *, eps: Length, steps: int = 1000, searches: int = 9, seed: int = 0
    ) -> None:
        super().__init__(model, "cw", eps, "L2", seed, steps=steps, searches=searches)


class DeepFool(Attack):
    """Steps onto the nearest linear boundary (Moosavi-Dezfooli et al. 2016), kept to the ball of radius ``eps``."""

    def __init__(
        self,
        model: Model | nn.Module,
        steps: int = 50,
        overshoot: float = 0.02,
        *,
        eps: Length,
        norm: str = "L2",
        seed: int = 0,
    ) -> None:
        _same("overshoot", overshoot, 0.02)
        super().__init__(model, "deepfool", eps, norm, seed, steps=steps)


class Named(Attack):
    """Any attack of gaat by its name, such as ``pgd-margin`` or ``pgd-t``, with its numbers: ``steps``, ``restarts``, ``step_size``,
    ``random_start``, ``queries``, ``searches``, ``targets``, ``samples``; those left out are customary."""

    def __init__(
        self, model: Model | nn.Module, name: str, eps: Length, *, norm: str = "Linf", seed: int = 0, **numbers: Any
    ) -> None:
        super().__init__(model, name, eps, norm, seed, **numbers)


_VERSIONS = {"standard": "autoattack", "plus": "autoattack-plus", "rand": "autoattack-rand"}


class AutoAttack:
    """AutoAttack (Croce and Hein 2020), called as the reference is: ``run_standard_evaluation(x, y, bs=250)``.

    Args:
        version: ``"standard"``, ``"plus"``, ``"rand"``; or ``"custom"`` with ``attacks_to_run`` out of the names in
            :class:`Named`, such as ``["apgd-ce", "fab-t"]``.
        verbose: Prints the accuracy after every attack, as the reference does.

    ``accuracies`` holds them afterwards, a share of all images by attack, ``"clean"`` first.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> x, y = torch.rand(8, 1, 8, 8), torch.zeros(8, dtype=torch.long)
    >>> attack = AutoAttack(net, eps=0.1, version="custom", attacks_to_run=["apgd-ce"], verbose=False)
    >>> perturbed = attack.run_standard_evaluation(x, y, bs=4)
    >>> list(attack.accuracies)
    ['clean', 'apgd-ce']
    """

    def __init__(
        self,
        model: Model | nn.Module,
        norm: str = "Linf",
        eps: Length = "8/255",
        seed: int | None = 0,
        verbose: bool = True,
        attacks_to_run: Sequence[str] = (),
        version: str = "standard",
    ) -> None:
        self.model = Model.of(model)
        self.norm, self.eps, self.seed, self.verbose, self.version = norm, eps, seed or 0, verbose, version
        self.attacks_to_run = list(attacks_to_run)
        self.accuracies: dict[str, float] = {}
        if version == "custom" and not self.attacks_to_run:
            raise ValueError('version = "custom" needs attacks_to_run')
        if version not in (*_VERSIONS, "custom"):
            raise ValueError(f'version = {version}: there are {", ".join(_VERSIONS)} and custom')

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The perturbed images of one batch."""
        verbose, self.verbose = self.verbose, False
        try:
            found: torch.Tensor = self.run_standard_evaluation(x, y, bs=len(x))
            return found
        finally:
            self.verbose = verbose

    def run_standard_evaluation(
        self, x_orig: torch.Tensor, y_orig: torch.Tensor, bs: int = 250, return_labels: bool = False
    ) -> Any:
        """The perturbed images of ``x_orig`` (``[N, C, H, W]`` in [0, 1]), ``bs`` at a time; with ``return_labels`` what the module says of
        them too. An attack is run on what those before it left; images that fell keep the first perturbation that did it."""
        if bs < 1 or len(x_orig) == 0:
            raise ValueError("an evaluation needs at least one image and bs of at least 1")
        home, device = x_orig.device, self.model.sample.device
        pieces = list(range(0, len(x_orig), bs))
        adversarial = x_orig.detach().clone()
        said = torch.cat([self._answer(x_orig[at : at + bs].to(device)) for at in pieces]).to(home)
        standing = said == y_orig.to(home)
        self.accuracies = {}
        self._tell("clean", standing, time.perf_counter())
        for name, numbers in self._parts(x_orig.shape[1:]):
            started = time.perf_counter()
            attack = Attack(self.model, name, self.eps, self.norm, self.seed, **numbers)
            for index, at in enumerate(pieces):
                here = at + torch.nonzero(standing[at : at + bs]).flatten()
                if len(here) == 0:
                    continue
                x, y = x_orig[here].to(device), y_orig[here].to(device)
                found = attack._perturb(x, y, index)
                answers = self._answer(found)
                fell = (answers != y).to(home)
                adversarial[here[fell]] = found.to(home)[fell]
                said[here] = answers.to(home)
                standing[here[fell]] = False
            self._tell(name, standing, started)
        return (adversarial, said) if return_labels else adversarial

    def _parts(self, shape: Sequence[int]) -> list[tuple[str, dict[str, Any]]]:
        if self.version == "custom":
            return [(name, {}) for name in self.attacks_to_run]
        with self.model.opened(shape) as adapter:
            found = _gaat.parts(_VERSIONS[self.version], self.norm, self.eps, adapter.classes)
        return [(name, json.loads(numbers)) for name, numbers in found]

    def _answer(self, x: torch.Tensor) -> torch.Tensor:
        with self.model.opened(x.shape[1:]) as adapter, torch.no_grad(), self.model.alone(self.seed):
            return adapter(x.clone() if x.is_inference() else x, EVAL).argmax(1)

    def _tell(self, name: str, standing: torch.Tensor, started: float) -> None:
        share = float(standing.double().mean())
        self.accuracies[name] = share
        if self.verbose:
            what = "initial accuracy" if name == "clean" else f"robust accuracy after {name.upper()}"
            print(f"{what}: {share:.2%}" + ("" if name == "clean" else f" ({time.perf_counter() - started:.1f} s)"))
