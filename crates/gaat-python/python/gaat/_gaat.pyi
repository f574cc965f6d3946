"""
What Python imports as `gaat._gaat`.
"""

import collections.abc
import typing

import torch
from _typeshed import SupportsGetItem
from os import PathLike
from typing import Any, SupportsFloat, SupportsIndex, final

__all__ = ["Method", "check_recipe", "echo", "evaluate", "exponential", "libtorch", "load", "parts", "perturb", "recipe_keys", "report", "run_record", "train"]

@final
class Method:
    """
    Attack and memory of a method, step by step.
    """
    def __new__(cls, /, adapter: Any, recipe: str, total: SupportsIndex | None) -> Method: ...
    def gain_ratio(self, /) -> float | None:
        """
        The smoothed gain ratio, once it says anything.
        """
    def losses(self, /, adapter: Any, pixels: "torch.Tensor", labels: "torch.Tensor", indices: "torch.Tensor") -> "torch.Tensor":
        """
        The loss of each image with its graph, `[N]`.
        """
    def observe(self, /, adapter: Any, loss: SupportsFloat | SupportsIndex) -> tuple[int, str] | None:
        """
        Takes note of the mean loss of the step before; step and words of an alarm.
        """
    def passes(self, /) -> tuple[int, int, int]:
        """
        Passes of attacks and checks so far, in images: forward, backward to the pixels, Hessian-vector products.
        """
    def perturb(self, /, adapter: Any, pixels: "torch.Tensor", labels: "torch.Tensor", indices: "torch.Tensor") -> "torch.Tensor":
        """
        The images to train on, `[N, C, H, W]`.
        """
    def steps(self, /) -> int:
        """
        Steps so far.
        """

def check_recipe(keys: str) -> None:
    """
    Refuses keys and values (JSON) that no run has, before there is anything to run.
    """

def echo(tensor: "torch.Tensor") -> "torch.Tensor":
    """
    The very tensor, once through Rust: for tests.
    """

def evaluate(adapter: Any, pixels: "torch.Tensor", labels: "torch.Tensor", *, attacks: SupportsGetItem[int, tuple[str, str]], norm: str, eps: "float | str", batch_size: SupportsIndex, limit: SupportsIndex | None, seed: SupportsIndex, classes: SupportsGetItem[int, str], probes: tuple[SupportsIndex, SupportsIndex] | None, state: str | PathLike[str] | None, listen: "collections.abc.Callable[[str, int, int, float], typing.Any] | None") -> str:
    """
    Judges the network behind `adapter` on images; the evaluation as JSON.

    `attacks`: names with their numbers as JSON. `listen` is called after every batch with stage, images done, images in all, and the
    share of them that withstood.
    """

def exponential(tensor: "torch.Tensor") -> "torch.Tensor":
    """
    `exp(tensor)`, computed in Rust with its graph: for tests.
    """

def libtorch() -> str:
    """
    Path of the libtorch that Rust computes with.
    """

def load(adapter: Any, path: str | PathLike[str], checkpoint: str) -> None:
    """
    Sets the weights of the network behind `adapter` to those of a run directory or weights file.
    """

def parts(name: str, norm: str, eps: "float | str", classes: SupportsIndex) -> list[tuple[str, str]]:
    """
    The attacks that an ensemble consists of against a network of `classes` classes: names, and numbers as JSON.
    """

def perturb(adapter: Any, pixels: "torch.Tensor", labels: "torch.Tensor", *, name: str, numbers: str, norm: str, eps: "float | str", seed: SupportsIndex, index: SupportsIndex, to_the_end: bool) -> "tuple[torch.Tensor, tuple[int, int]]":
    """
    Perturbed images of `pixels` (`[N, C, H, W]`), and their passes: forward, backward to the pixels.

    `to_the_end`: every image takes all steps of fgsm, pgd and mi-fgsm, and those that are wrong clean are attacked too; else an image
    is left alone from where it is misclassified on.
    """

def recipe_keys() -> list[str]:
    """
    All keys of a recipe, as Python writes them.
    """

def report(verdict: str, name: str) -> str:
    """
    The page of a verdict (JSON) on the network `name`, as HTML.
    """

def run_record(path: str | PathLike[str]) -> str:
    """
    The record of a run directory as JSON.
    """

def train(adapter: Any, images: "tuple[torch.Tensor, torch.Tensor]", validation: "tuple[torch.Tensor, torch.Tensor] | None", *, classes: SupportsGetItem[int, str], recipe: str, out: str | PathLike[str] | None, resume: bool, listen: "collections.abc.Callable[[str], bool | None]", built_in: str | None = None) -> str:
    """
    Trains the network behind `adapter` in place; the record as JSON.

    `recipe`: keys and values as JSON. `listen` is called with every event as JSON; its answer `False` stops the run with its state
    saved, and its exception ends the run. `built_in`: for tests, the name of a published network; gaat's own form of it, from the
    weights of the module, is then trained in place of the module, which stays as it is.
    """
