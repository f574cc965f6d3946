"""Writes small state dicts with torch.save, in every layout that the reader of gaat-files must take or refuse.

The numbers are such that any transposition, wrong offset or wrong width shows.
"""

from collections import OrderedDict
from pathlib import Path

import torch

OUT = Path(__file__).resolve().parent.parent / "crates/gaat-files/tests/golden"


def numbers():
    """Two rows of three, a strided view of the same storage, half precision, a count and an empty name space."""
    base = torch.arange(12, dtype=torch.float32).view(3, 4) / 8 - 0.5
    state = OrderedDict()
    state["0.weight"] = base[:2, :3]
    state["0.bias"] = base.t()[1]
    state["1.half"] = torch.tensor([1.5, -0.25], dtype=torch.float16)
    state["1.brain"] = torch.tensor([[2.5], [-3.0]], dtype=torch.bfloat16)
    state["1.double"] = torch.tensor([1 / 3], dtype=torch.float64)
    state["1.num_batches_tracked"] = torch.tensor(7)
    return state


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    state = numbers()
    torch.save(state, OUT / "zip.pth")
    torch.save(state, OUT / "legacy.pth", _use_new_zipfile_serialization=False)
    parallel = OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())
    torch.save({"epoch": 3, "state_dict": parallel, "best": 0.5}, OUT / "wrapped.pth")
    beside = {"momentum": torch.ones(3, dtype=torch.float64), "state_dict": parallel, "best": torch.tensor(0.5)}
    torch.save(beside, OUT / "beside.pth", _use_new_zipfile_serialization=False)
    parameters = {name: torch.nn.Parameter(tensor.float()) for name, tensor in state.items()}
    torch.save(parameters, OUT / "parameters.pth")
    torch.save(torch.nn.Linear(2, 1), OUT / "module.pth")
    torch.save({"epoch": 3, "loss": 0.5}, OUT / "no-tensors.pth")


if __name__ == "__main__":
    main()
