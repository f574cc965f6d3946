"""Writes small checkpoints of one network in the wrappings that repositories publish, for `gaat import`.

Every file holds the same weights of `convnet` for images of 1x8x8 with 3 classes, where it holds any that can be read; what lies
beside them differs. `python reference/checkpoints.py` writes crates/gaat/tests/golden/checkpoints/*.pth.gz and expected.json, which says
for each file what is to be found. Needs torch 2.11 and numpy.
"""

import argparse
import collections
import dataclasses
import datetime
import gzip
import io
import json
import pathlib
import sys

import numpy
import torch
from torch import nn

OUT = pathlib.Path(__file__).resolve().parent.parent / "crates/gaat/tests/golden/checkpoints"


def convnet():
    """`convnet` for 1x8x8 images and 3 classes, narrow enough for a fixture."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 2 * 2, 100), nn.ReLU(), nn.Linear(100, 3),
    )


def fill(model, offset):
    """Numbers that name, place and offset say, so that each network in a file can be told from the others."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                start = sum(name.encode()) % 7
                # Numbers that come again and again, so that the files compress to little.
                tensor.copy_(((torch.arange(tensor.numel()) * 3 + start) % 7).view(tensor.shape) / 64 + offset)


class Scale(nn.Module):
    def __init__(self, mean, std, names=("mean", "std"), shape=(-1, 1, 1)):
        super().__init__()
        for name, value in zip(names, (mean, std)):
            self.register_buffer(name, torch.tensor(value).view(shape))
        self.names = names


class Dictionary(collections.OrderedDict):
    """A dictionary of a script's own."""


@dataclasses.dataclass
class Settings:
    rate: float = 0.1
    where: pathlib.PurePath = pathlib.PurePosixPath("runs")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("*"):
        old.unlink()
    net, other = convnet(), convnet()
    fill(net, 0.0)
    fill(other, 1.0)
    state, averaged = net.state_dict(), other.state_dict()
    expected = {}

    def save(name, content, protocol=2, legacy=False, **what):
        file = io.BytesIO()
        torch.save(content, file, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
        (OUT / f"{name}.pth.gz").write_bytes(gzip.compress(file.getvalue(), mtime=0))
        expected[name] = what

    prefixed = lambda prefix, state: collections.OrderedDict((prefix + name, tensor) for name, tensor in state.items())
    scaled = lambda scale: nn.Sequential(scale, net)
    pixels = {"mean": [0.3], "std": [0.4]}

    save("plain", state)
    save("legacy", {"net": state, "epoch": 3}, legacy=True, key="net")
    for protocol in (3, 4, 5):
        save(f"protocol-{protocol}", {"state_dict": state, "epoch": 3}, protocol=protocol, key="state_dict")
    # Prefixes.
    save("data-parallel", {"model": nn.DataParallel(net).state_dict()}, key="model")
    save("averaged-model", torch.optim.swa_utils.AveragedModel(net).state_dict())
    save("compiled", prefixed("_orig_mod.module.", state))
    save("mixed-module", {("module." if i % 2 else "") + name: tensor for i, (name, tensor) in enumerate(state.items())})
    lightning = prefixed("model.", state) | {"criterion.weight": torch.ones(3)}
    save("lightning", {"state_dict": lightning, "pytorch-lightning_version": "2.0", "callbacks": {}}, key="state_dict.model")
    save("deep", {"a": {"b": [{"c": (prefixed("x.y.", state),)}]}}, key="a.b.c.x.y")
    # Normalisation in front.
    save("normalise-sequential", {"model_state_dict": nn.DataParallel(scaled(Scale([0.3], [0.4]))).state_dict()}, key="model_state_dict.1", **pixels)
    save("normalise-inside", {**Scale([0.3], [0.4], ("mu", "sigma"), (1, -1, 1, 1)).state_dict(), **state}, **pixels)
    save("normalizer-flat", {**prefixed("normalizer.", Scale([0.3], [0.4], shape=(-1,)).state_dict()), **prefixed("model.", state)}, key="model", **pixels)
    save("normalise-bytes", {**prefixed("normalize.", Scale([76.5], [102.0]).state_dict()), **prefixed("model.", state)}, key="model", **pixels)
    save("normalise-twice", {**prefixed("net.0.", Scale([0.3], [0.4]).state_dict()), **prefixed("net.1.", state), **prefixed("ema.0.", Scale([0.5], [0.6]).state_dict())}, key="net.1", **pixels)
    # Several networks.
    save("averaged-beside", {"state_dict": state, "state_dict_ema": averaged}, key="state_dict", others=["state_dict_ema"])
    save("flat-teacher", {**prefixed("model.", state), **prefixed("teacher.", averaged)}, key="model", others=["teacher"])
    save("last-best", {"last": state, "best": averaged}, asked=["last", "best"])
    save("same-twice", {"last": state, "best": state}, key="last", others=["best"])
    save("list-of-one", {"state_dict": [state], "err": 0.1}, key="state_dict")
    save("number-and-list-of-one", {"acc": torch.tensor(97), "state_dict": [state]}, key="state_dict")
    save("list-of-two", {"state_dict": [state, averaged]}, asked=["state_dict.0", "state_dict.1"])
    # Things beside the weights.
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    sum(parameter.sum() for parameter in net.parameters()).backward()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [75, 90])
    save("scheduler", {"state_dict": state, "scheduler": schedule.state_dict()}, key="state_dict", closed=[])
    beside = {
        "accuracy": numpy.float64(97.1), "history": numpy.arange(3.0), "args": argparse.Namespace(lr=0.1),
        "counter": collections.Counter("aab"), "settings": Settings(), "own": Dictionary(a=1), "when": datetime.datetime(2024, 1, 2),
        "path": pathlib.PurePosixPath("/a"), "shape": torch.Size([1, 8]), "device": torch.device("cpu"), "dtype": torch.float32,
        "default": collections.defaultdict(list, a=[1]), "set": {1, 2}, "frozen": frozenset([3]), "bytes": b"abc", "complex": 1j,
    }
    for protocol in (2, 4):
        save(f"objects-{protocol}", {**beside, "state_dict": state}, protocol=protocol, key="state_dict", closed=["argparse.Namespace", "datetime.datetime"])
    save("among-weights", {**state, "epoch": 3, "args": argparse.Namespace(lr=0.1), "best": torch.tensor(0.5)})
    save("own-dictionary", {"state_dict": Dictionary(state)}, key="state_dict")
    save("parameters", {"params": dict(net.named_parameters())}, key="params")
    # Not available.
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    save("arrays", {"state_dict": arrays}, refused="tensor")
    save("hidden", {"args": argparse.Namespace(model=state)}, refused="without tensors")
    save("half-hidden", {**state, "7.bias": argparse.Namespace(bias=1)}, refused="argparse.Namespace")
    save("another", nn.Linear(3, 2).state_dict(), refused="7.bias")
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print(torch.__version__, len(expected), "files", sum(path.stat().st_size for path in OUT.glob("*")), "bytes")


if __name__ == "__main__":
    sys.exit(main())
