"""A module as the engine sees it: logits in one of three modes, and its tensors by name."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

TRAIN, FROZEN, EVAL = range(3)
# Logits of one network in two memory orders differ by less, relatively.
_ROUNDING = 1e-2
_NORMS = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm)


class Adapter:
    """Calls a module with pixels in [0, 1].

    The engine's modes: ``TRAIN`` as the module trains; ``FROZEN`` for attacks while training, where batch normalisation uses the batch
    and remembers nothing, dropout is off, and clones stand in for all other buffers; ``EVAL`` as it is judged.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str,
        sample: torch.Tensor,
        input_shape: tuple[int, int, int],
        classes: int,
        normalization: tuple[list[float], list[float]] | None,
        autocast: torch.dtype | None,
        channels_last: bool,
    ) -> None:
        self.module, self.name, self.sample = module, name, sample
        self.input_shape, self.classes = input_shape, classes
        self.normalization, self._autocast, self.channels_last = normalization, autocast, channels_last
        self._scaling = None if normalization is None else [sample.new_tensor(numbers).view(1, -1, 1, 1) for numbers in normalization]
        parts = list(module.modules())
        self._norms = [part for part in parts if isinstance(part, _BatchNorm) and part.track_running_stats]
        norms = {id(norm) for norm in self._norms}
        self._others = [
            (part._buffers, key)
            for part in parts
            if id(part) not in norms
            for key, buffer in part._buffers.items()
            if buffer is not None
        ]
        self._drops = [part for part in parts if isinstance(part, _DropoutNd)]
        # A module in training keeps the parts of it that its owner has put into evaluation, frozen normalisations say.
        self._given = [(part, part.training) for part in parts] if module.training else None
        self._mode: int | None = None

    @property
    def in_bf16(self) -> bool:
        """Whether the module computes in bfloat16, though its tensors are wider."""
        return self._autocast == torch.bfloat16

    def __call__(self, pixels: torch.Tensor, mode: int) -> torch.Tensor:
        if mode != self._mode:
            self._switch(mode)
        if mode != FROZEN or not self._others:
            return self._logits(pixels)
        with self.clones():
            return self._logits(pixels)

    @contextlib.contextmanager
    def clones(self) -> Iterator[None]:
        """A while in which clones stand in for the buffers that are not those of normalisations."""
        kept = [(owner, key, buffer) for owner, key in self._others if (buffer := owner[key]) is not None]
        try:
            for owner, key, buffer in kept:
                owner[key] = buffer.clone()
            yield
        finally:
            for owner, key, buffer in kept:
                owner[key] = buffer

    def _logits(self, pixels: torch.Tensor) -> torch.Tensor:
        seen = pixels
        if self._scaling is not None:
            mean, std = self._scaling
            seen = (seen - mean) / std
        if self.channels_last:
            seen = _channels_last(seen)
        with self._computing(pixels.device.type):
            found = self.module(seen)
        # Image classifiers of Hugging Face hand back an object.
        found = getattr(found, "logits", found)
        if not isinstance(found, torch.Tensor):
            raise TypeError(
                f"{type(self.module).__name__}.forward gave {type(found).__name__}, and gaat needs logits, a tensor [N, classes]: "
                "wrap the module in one that returns them"
            )
        if found.dim() != 2 or found.shape[0] != pixels.shape[0] or found.shape[1] < 2:
            raise ValueError(
                f"{type(self.module).__name__}.forward gave a tensor {list(found.shape)} for {pixels.shape[0]} images, and gaat "
                "needs logits [N, classes] of at least 2 classes: wrap the module in one that returns them"
            )
        if self.classes and found.shape[1] != self.classes:
            raise ValueError(f"the module gives {found.shape[1]} logits, and gaat.Model was told of {self.classes} classes")
        return found.to(pixels.dtype)

    def check_gradient(self) -> None:
        """Refuses a module whose logits have no gradient in the pixels: an attack would get nowhere, and a training would not notice."""
        pixels = self.sample.new_full((2, *self.input_shape), 0.5).requires_grad_()
        with self.clones():
            logits = self(pixels, EVAL)
            found = torch.autograd.grad(logits.sum(), pixels, allow_unused=True)[0] if logits.requires_grad else None
        if found is None:
            raise ValueError(
                f"the logits of {type(self.module).__name__} have no gradient in the pixels, which attacks climb: take detach(), "
                "torch.no_grad() and operations without a derivative out of forward"
            )

    def _computing(self, device: str) -> contextlib.AbstractContextManager[Any]:
        if self._autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(device, dtype=self._autocast)

    def _switch(self, mode: int) -> None:
        self.module.train(mode != EVAL)
        if mode != EVAL and self._given is not None:
            for part, training in self._given:
                part.training = training
        for norm in self._norms:
            norm.track_running_stats = mode != FROZEN or not norm.training
        if mode == FROZEN:
            for drop in self._drops:
                drop.eval()
        self._mode = mode

    def gains_by_channels_last(self) -> bool:
        """Whether the module is one of convolutions on a processor, where channels-last images save the copies from and to the plain
        order, and computes the same on them. A ``view`` in ``forward`` may refuse them. What was compiled is compiled once more for
        another order, which takes longer than it saves, and is left alone.
        """
        parts = list(self.module.modules())
        if self.sample.device.type != "cpu" or not any(isinstance(part, nn.Conv2d) for part in parts):
            return False
        if any("_orig_mod" in part._modules or part._compiled_call_impl is not None for part in parts):
            return False
        count = 2 * math.prod(self.input_shape)
        pixels = torch.linspace(0, 1, count, dtype=self.sample.dtype).view(2, *self.input_shape)
        before = self.channels_last
        try:
            with self.clones():
                self.channels_last = False
                expected = self(pixels, EVAL)
                self.channels_last = True
                found = self(pixels, EVAL)
                self(pixels, FROZEN)
        except Exception:  # The call that this one prepares says what is wrong, if anything is wrong but the order.
            return False
        finally:
            self.channels_last = before
            self._switch(EVAL)  # Frozen normalisations would look as if they kept no statistics.
        return torch.allclose(found, expected, rtol=_ROUNDING, atol=_ROUNDING * float(expected.abs().max()))

    def twin(self) -> Adapter:
        """The same once more, with weights of its own: what averaging keeps the mean in."""
        return Adapter(
            copy.deepcopy(self.module),
            name=self.name,
            sample=self.sample,
            input_shape=self.input_shape,
            classes=self.classes,
            normalization=self.normalization,
            autocast=self._autocast,
            channels_last=self.channels_last,
        )

    def entries(self) -> Iterator[tuple[str, torch.Tensor, str]]:
        """Name, tensor and role of every parameter that is trained and every buffer that is saved."""
        seen = set()
        for prefix, part in self.module.named_modules():
            for name, tensor in part.named_parameters(prefix, recurse=False):
                if id(tensor) in seen:  # Tied weights are trained once.
                    continue
                seen.add(id(tensor))
                yield name, tensor, _role(part, name, tensor)
            for name, tensor in part.named_buffers(prefix, recurse=False):
                last = name.rsplit(".", 1)[-1]
                if last in part._non_persistent_buffers_set or last == "num_batches_tracked":
                    continue
                yield name, tensor, "buffer"

    def check_trainable(self) -> None:
        """Refuses what a run could not continue with."""
        for name, part in self.module.named_modules():
            if isinstance(part, _BatchNorm) and part.track_running_stats and part.momentum is None:
                raise ValueError(
                    f"{name or type(part).__name__} averages over all batches (momentum=None), which a resumed run could not go "
                    "on with: give it a momentum, such as 0.1"
                )
        if not any(tensor.requires_grad for tensor in self.module.parameters()):
            raise ValueError("no parameter of the module requires a gradient, so that nothing can be trained")


def _channels_last(pixels: torch.Tensor) -> torch.Tensor:
    if pixels.shape[1] > 1:
        return pixels.contiguous(memory_format=torch.channels_last)
    # One channel lies alike in both orders, and torch would go on in the plain one: these strides say that channels lie together.
    return pixels.contiguous().squeeze(1).unsqueeze(-1).permute(0, 3, 1, 2)


def _role(part: nn.Module, name: str, tensor: torch.Tensor) -> str:
    last = name.rsplit(".", 1)[-1]
    if not tensor.requires_grad:
        return "buffer"
    if isinstance(part, _NORMS):
        return "norm-scale" if last == "weight" else "norm-shift"
    return "bias" if last == "bias" or tensor.dim() < 2 else "weight"
