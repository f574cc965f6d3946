"""The module of a user with what gaat must know of it."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from ._adapter import EVAL, Adapter
from ._data import check_label_shape, check_range

_COMPUTED_IN = (torch.float32, torch.float64)


class Model:
    """A ``torch.nn.Module`` that takes images and gives logits ``[N, classes]``.

    Attacks move pixels in [0, 1]. Where the module wants normalised ones, give ``mean`` and ``std`` per channel here and leave
    ``Normalize`` out of the data set's transforms.

    After every call, also one that fails, modes and buffers of the module are what they were, and no ``.grad`` was touched;
    training changes parameters and running statistics in place.

    Args:
        module: Any module; it may be in training, compiled, on a GPU. Parameters are float32 or float64.
        mean: Per channel, in pixel units; with ``std``.
        std: Per channel, over 0.
        classes: Number of classes; found out by one image if left out.
        channels_last: Hands the module images in the memory order that convolutions like. By default it does where that is seen to
            give the same logits and saves time, on a processor; the module itself stays as it is. ``True`` brings the module into that
            order too; ``False`` leaves the images as they come.
        autocast: dtype that the module computes in, ``torch.bfloat16`` say; by default that of the ``torch.autocast`` around a call.
        name: What run directories and messages call it; by default after its class.

    >>> model = Model(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), mean=(0.5,), std=(0.25,), name="tiny")
    >>> model.name
    'tiny'
    """

    def __init__(
        self,
        module: nn.Module,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        *,
        classes: int | None = None,
        channels_last: bool | None = None,
        autocast: torch.dtype | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise TypeError(f"expected a torch.nn.Module, found {type(module).__name__}")
        if (mean is None) != (std is None):
            raise ValueError("mean and std belong together: give both, or neither")
        self.module = module
        self.mean = None if mean is None else tuple(float(number) for number in mean)
        self.std = None if std is None else tuple(float(number) for number in std)
        if self.mean is not None and self.std is not None:
            if len(self.mean) != len(self.std):
                raise ValueError(f"mean has {len(self.mean)} channels, std {len(self.std)}")
            if not all(number > 0 for number in self.std):
                raise ValueError(f"std = {self.std}: every channel needs a number over 0")
            if not all(0 <= number <= 1 for number in self.mean):
                raise ValueError(f"mean = {self.mean}: pixels lie in [0, 1]; numbers of bytes want mean / 255 and std / 255")
        _check_autocast(autocast)
        self.autocast = autocast
        self.name = name or _kebab(type(module).__name__)
        self._channels_last = channels_last
        self._found_channels_last: dict[torch.device, bool] = {}
        if channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self._classes = classes
        self._has_gradient = False
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"gaat.Model({self.name}, mean={self.mean}, std={self.std})"

    @classmethod
    def of(cls, model: Model | nn.Module) -> Model:
        """``model`` itself, or a model of the module."""
        return model if isinstance(model, Model) else cls(model)

    @property
    def sample(self) -> torch.Tensor:
        """An empty tensor where the module computes, of its dtype."""
        places = {(tensor.device, tensor.dtype) for tensor in self.module.parameters() if tensor.is_floating_point()}
        if len({device for device, _ in places}) > 1:
            found = ", ".join(sorted(str(device) for device, _ in places))
            raise ValueError(f"the parameters of the module lie on {found}: bring them to one device with module.to(device)")
        dtypes = {dtype for _, dtype in places}
        if len(dtypes) > 1 or not dtypes <= set(_COMPUTED_IN):
            found = ", ".join(sorted(str(dtype) for dtype in dtypes))
            raise TypeError(
                f"the parameters of the module are {found}, and attacks need the accuracy of float32: call module.float(), and give "
                "gaat.Model autocast=torch.bfloat16 if the passes are to be fast"
            )
        device, dtype = next(iter(places), (torch.device("cpu"), torch.float32))
        if any(tensor.is_inference() for tensor in self.module.parameters()):
            raise ValueError("the module was made in inference mode, so that nothing has a gradient: build it outside")
        return torch.empty(0, device=device, dtype=dtype)

    @contextlib.contextmanager
    def opened(self, input_shape: Sequence[int], *, trains: bool = False, needs_gradient: bool = False) -> Iterator[Adapter]:
        """The module for one call of the engine, on images of ``(channels, height, width)``; afterwards it is what it was.

        With ``trains`` buffers keep what they have learned. With ``needs_gradient`` a module without a gradient in the pixels is refused.
        """
        with self._lock:
            sample = self.sample
            channels, height, width = (int(side) for side in input_shape)
            parts = list(self.module.modules())
            modes = [(part, part.training) for part in parts]
            tracks = [(part, part.track_running_stats) for part in parts if hasattr(part, "track_running_stats")]
            held = [(part._buffers, key, value) for part in parts for key, value in part._buffers.items() if value is not None]
            autocast = self.computes_in()
            _check_autocast(autocast)
            try:
                with (
                    torch.inference_mode(False),
                    torch.enable_grad(),
                    torch.autocast(sample.device.type, enabled=False),
                ):
                    if not trains:
                        for owner, key, value in held:
                            owner[key] = value.clone()
                    adapter = Adapter(
                        self.module,
                        name=self.name,
                        sample=sample,
                        input_shape=(channels, height, width),
                        classes=self._classes or 0,
                        normalization=self._normalization(channels),
                        autocast=autocast,
                        channels_last=self._channels_last or False,
                    )
                    if self._classes is None:
                        with torch.no_grad(), self.alone(), adapter.clones():
                            blank = sample.new_zeros(1, channels, height, width)
                            self._classes = adapter(blank, EVAL).shape[1]
                        adapter.classes = self._classes
                    if needs_gradient and not self._has_gradient:
                        with self.alone():
                            adapter.check_gradient()
                        self._has_gradient = True
                    if self._channels_last is None:
                        adapter.channels_last = self._gains_by_channels_last(adapter)
                    yield adapter
            finally:
                if not trains:
                    for owner, key, value in held:
                        owner[key] = value
                for part, training in modes:
                    part.training = training
                for part, track in tracks:
                    part.track_running_stats = track

    def computes_in(self) -> torch.dtype | None:
        """The dtype of autocast that the module computes in, its own or that around this call; ``None`` for that of its parameters."""
        device = self.sample.device.type
        if self.autocast is None and torch.is_autocast_enabled(device):
            return torch.get_autocast_dtype(device)
        return self.autocast

    def alone(self, seed: int = 0) -> contextlib.AbstractContextManager[None]:
        """A while in which the module draws by ``seed``, after which torch's own generators are what they were."""
        return _seeded(self.sample.device, seed)

    def _gains_by_channels_last(self, adapter: Adapter) -> bool:
        device = adapter.sample.device
        if device not in self._found_channels_last:
            with torch.no_grad(), self.alone():
                self._found_channels_last[device] = adapter.gains_by_channels_last()
        return self._found_channels_last[device]

    def _normalization(self, channels: int) -> tuple[list[float], list[float]] | None:
        if self.mean is None or self.std is None:
            return None
        if len(self.mean) != channels:
            raise ValueError(
                f"mean and std have {len(self.mean)} channels, the images {channels}: images are [N, C, H, W], and x.permute(0, 3, 1, 2) "
                "brings [N, H, W, C] there"
            )
        return list(self.mean), list(self.std)

    def batch(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels ``[N, C, H, W]`` in [0, 1] and labels ``[N]``, refused with the line that mends them."""
        sample = self.sample
        for name, tensor in (("x", x), ("y", y)):
            if not isinstance(tensor, torch.Tensor):
                raise TypeError(f"{name}: expected a torch.Tensor, found {type(tensor).__name__}")
            if tensor.device != sample.device:
                raise ValueError(
                    f'{name} lies on {tensor.device}, the module on {sample.device}: {name}.to("{sample.device}") brings it there'
                )
        if x.dim() != 4 or 0 in x.shape:
            raise ValueError(f"x: expected images [N, C, H, W], found {list(x.shape)}")
        if x.dtype == torch.uint8:
            raise TypeError("x holds bytes, attacks move pixels in [0, 1]: give x.float() / 255")
        if x.dtype != sample.dtype:
            raise TypeError(f"x is {x.dtype}, the module computes in {sample.dtype}: give x.to({sample.dtype})")
        check_label_shape(y, len(x))
        if y.dtype != torch.int64:
            raise TypeError(f"y: expected labels of torch.int64, found {y.dtype}: y.long() converts")
        x = x.detach()
        check_range(x)
        with torch.inference_mode(False):
            # Tensors of inference mode have no place in a graph.
            return (x.clone() if x.is_inference() else x), (y.clone() if y.is_inference() else y)

    def check_labels(self, y: torch.Tensor) -> None:
        """Refuses labels that the module has no logit for, once its classes are known."""
        if self._classes is not None and not (0 <= int(y.min()) and int(y.max()) < self._classes):
            raise ValueError(f"y holds labels from {int(y.min())} to {int(y.max())}, the module has {self._classes} classes, from 0")


def _check_autocast(dtype: torch.dtype | None) -> None:
    if dtype not in (None, torch.bfloat16):
        raise ValueError(
            f"autocast in {dtype}: the gradients that attacks need become 0 in its narrow range; torch.bfloat16 has the range of float32"
        )


@contextlib.contextmanager
def _seeded(device: torch.device, seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device], device_type="cuda"):
        torch.manual_seed(seed)
        yield


def _kebab(name: str) -> str:
    """``MyNet`` as ``my-net``: a name that recipes and files take."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()
    kept = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    return kept if kept and kept[0].isalpha() else f"net-{kept}".strip("-")
