"""The compiled half of gaat; checked against it by tests/test_package.py."""

from collections.abc import Callable
from typing import Any

import torch

class Method:
    def __new__(cls, adapter: Any, recipe: str, total: int | None) -> Method: ...
    def perturb(self, adapter: Any, pixels: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor) -> torch.Tensor: ...
    def losses(self, adapter: Any, pixels: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor) -> torch.Tensor: ...
    def observe(self, adapter: Any, loss: float) -> tuple[int, str] | None: ...
    def gain_ratio(self) -> float | None: ...
    def steps(self) -> int: ...
    def passes(self) -> tuple[int, int, int]: ...

def perturb(
    adapter: Any,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    *,
    name: str,
    numbers: str,
    norm: str,
    eps: float | str,
    seed: int,
    index: int,
    to_the_end: bool,
) -> tuple[torch.Tensor, tuple[int, int]]: ...
def parts(name: str, norm: str, eps: float | str, classes: int) -> list[tuple[str, str]]: ...
def evaluate(
    adapter: Any,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    *,
    attacks: list[tuple[str, str]],
    norm: str,
    eps: float | str,
    batch_size: int,
    limit: int | None,
    seed: int,
    classes: list[str],
    probes: tuple[int, int] | None,
    state: str | None,
    listen: Callable[[str, int, int, float], Any] | None,
) -> str: ...
def report(verdict: str, name: str) -> str: ...
def train(
    adapter: Any,
    images: tuple[torch.Tensor, torch.Tensor],
    validation: tuple[torch.Tensor, torch.Tensor] | None,
    *,
    classes: list[str],
    recipe: str,
    out: str | None,
    resume: bool,
    listen: Callable[[str], bool | None],
    built_in: str | None = None,
) -> str: ...
def load(adapter: Any, path: str, checkpoint: str) -> None: ...
def run_record(path: str) -> str: ...
def echo(tensor: torch.Tensor) -> torch.Tensor: ...
def exponential(tensor: torch.Tensor) -> torch.Tensor: ...
def libtorch() -> str: ...
