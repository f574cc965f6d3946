"""Images as tensors, whatever they come in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

_PIXELS = ("pixel_values", "pixels", "image", "images", "x")
_LABELS = ("labels", "label", "y", "targets")


def collect(data: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels and labels on the CPU, out of a pair of tensors, a ``Dataset``, a ``DataLoader`` or anything that gives batches."""
    if _is_pair(data):
        x, y = (torch.as_tensor(part).detach().cpu() for part in data)
        check_label_shape(y, len(x))
        return x, y
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        data = DataLoader(data, batch_size=256)
    if isinstance(data, (torch.Tensor, str)) or not isinstance(data, Iterable):
        raise TypeError(f"data is {type(data).__name__}: expected (pixels, labels), a Dataset or a DataLoader")
    pairs = [_pair(batch) for batch in data]
    if not pairs:
        raise ValueError("the data holds no batch")
    x, y = torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])
    check_label_shape(y, len(x))
    return x, y


def steady(data: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """As :func:`collect`, in an order that is the same every time, and refused where the images are not: for a training, which a stop
    must not change. Of a ``DataLoader`` the data set is read in its own order, and the whole of it."""
    if isinstance(data, DataLoader) and not isinstance(data.dataset, IterableDataset):
        if type(data.sampler) not in (SequentialSampler, RandomSampler):
            raise ValueError(
                f"the DataLoader chooses images by {type(data.sampler).__name__}, and a training reads the whole data set in its own order: "
                "give torch.utils.data.Subset(dataset, indices) for a part of it"
            )
        data = DataLoader(
            data.dataset, batch_size=data.batch_size or 256, num_workers=data.num_workers, collate_fn=data.collate_fn
        )
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        data = DataLoader(data, batch_size=256)
    x, y = collect(data)
    if isinstance(data, DataLoader):
        again, _ = _pair(next(iter(data)))
        if not torch.equal(x[: len(again)], again):
            raise ValueError(
                "the data set gives another image every time, by a random transform say: leave random transforms out, and let gaat "
                "crop and flip by crop_padding=4 and flip=True; or use gaat.Method in a loop of your own"
            )
    return x, y


def to_bytes(x: torch.Tensor) -> torch.Tensor:
    """Pixels as bytes, which they have to be multiples of."""
    if x.dtype == torch.uint8:
        return x.contiguous()
    check_range(x)
    scaled = x.double() * 255
    bytes_ = scaled.round()
    worst = float((scaled - bytes_).abs().max())
    if worst > 0.01:
        raise ValueError(
            f"a training keeps images as bytes, and these pixels are not multiples of 1/255 (one is {worst:.2f}/255 off): give "
            "x.mul(255).round().div(255), or use gaat.Method in a loop of your own"
        )
    return bytes_.to(torch.uint8).contiguous()


def check_range(x: torch.Tensor) -> None:
    """Refuses pixels outside [0, 1]."""
    if x.dim() != 4 or 0 in x.shape:
        raise ValueError(f"expected images [N, C, H, W], found {list(x.shape)}")
    if not x.is_floating_point():
        raise TypeError(f"expected images of bytes or floating-point numbers, found {x.dtype}")
    least, most = (float(number) for number in torch.aminmax(x))
    if least >= 0 and most <= 1:
        return
    if math.isnan(least) or math.isnan(most):
        raise ValueError("the images hold numbers that are not numbers (NaN)")
    if -1e-3 < least and most < 1 + 1e-3:
        mended = "a resizing overshoots so: x.clamp(0, 1) mends it"
    elif least >= 0 and 2 < most <= 255:
        mended = "these look like bytes: divide them by 255"
    else:
        mended = "leave Normalize out of the transforms, and give its mean and std to gaat.Model"
    raise ValueError(f"the images hold numbers from {least:.9g} to {most:.9g}, attacks move pixels in [0, 1]: {mended}")


def check_label_shape(y: torch.Tensor, count: int) -> None:
    """Refuses labels that are not one class for each of ``count`` images."""
    if y.dim() == 2 and y.shape[1] == 1:
        raise ValueError(f"y: expected labels [N], found {list(y.shape)}: y.squeeze(1) mends it")
    if y.dim() == 2 and len(y) == count:
        raise ValueError(f"y: expected a class for each image, [N], found {list(y.shape)}: y.argmax(1) finds the classes of one-hot labels")
    if y.dim() != 1 or len(y) != count:
        raise ValueError(f"y: expected a label for each of {count} images, [N], found {list(y.shape)}")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"y: expected labels of whole numbers, found {y.dtype}: y.long() converts")


def _is_pair(data: Any) -> bool:
    return isinstance(data, (tuple, list)) and len(data) == 2 and getattr(data[0], "ndim", None) == 4


def _pair(batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    if isinstance(batch, Mapping):
        pixels = next((batch[key] for key in _PIXELS if key in batch), None)
        labels = next((batch[key] for key in _LABELS if key in batch), None)
        if pixels is None or labels is None:
            raise ValueError(f"a batch with the keys {', '.join(map(str, batch))}: expected one of {_PIXELS} and one of {_LABELS}")
    elif isinstance(batch, Iterable) and not isinstance(batch, torch.Tensor) and len(parts := list(batch)) >= 2:
        pixels, labels = parts[:2]
    else:
        raise TypeError(f"a batch is {type(batch).__name__}: expected images and labels")
    return torch.as_tensor(pixels).detach().cpu(), torch.as_tensor(labels).detach().cpu()
