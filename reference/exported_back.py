"""Loads what `gaat export` wrote of networks of exported.py; the tests of gaat call it where Python has the packages.

Usage: python reference/exported_back.py check DIR   one folder a network of its name: model.pt2, model.safetensors, and
                                                     expected.safetensors with pixels and the logits that gaat computes in both modes
       python reference/exported_back.py packages    say which packages are there, or fail

Needs what exported.py needs.
"""
import pathlib
import sys

import safetensors.torch
import timm
import torch
import torchvision
from torch.export.pt2_archive._package import load_pt2

from exported import CHANNELS_LAST, build, seed_of_first_pass

TOLERANCE = 1e-5


def compare(what, found, expected):
    difference = ((found - expected).abs().max() / expected.abs().max().clamp(min=1)).item()
    # Written so that NaN fails.
    if not difference <= TOLERANCE:
        sys.exit(f"{what}: logits differ by {difference:.1e}, allowed {TOLERANCE:.0e}")
    return difference


def check(folder):
    expected = safetensors.torch.load_file(folder / "expected.safetensors")
    state = safetensors.torch.load_file(folder / "model.safetensors")
    programs = load_pt2(str(folder / "model.pt2")).exported_programs
    first = torch.export.load(folder / "model.pt2") if set(programs) == {"model"} else programs["train"]
    for mode, program in {"train": first, **programs}.items():
        saved = program.state_dict
        for name, tensor in state.items():
            if not torch.equal(saved[name], tensor):
                sys.exit(f"{folder.name}: {name} of {mode} is not that of model.safetensors")
    found = {}
    with torch.no_grad():
        net = build(folder.name.removesuffix("-pair"))
        if isinstance(net, CHANNELS_LAST):  # As gaat computes them: sums follow the order of memory.
            expected["pixels"] = expected["pixels"].contiguous(memory_format=torch.channels_last)
        net.load_state_dict(state, strict=True)
        found["the state dict, eval"] = compare(folder.name, net.eval()(expected["pixels"]), expected["eval"])
        if "eval" in programs:
            found["eval"] = compare(folder.name, programs["eval"].module()(expected["pixels"]), expected["eval"])
        torch.manual_seed(seed_of_first_pass())
        found["train"] = compare(folder.name, first.module()(expected["pixels"]), expected["train"])
    print(folder.name, ", ".join(f"{what} {difference:.1e}" for what, difference in found.items()))


def main():
    if sys.argv[1:] == ["packages"]:
        print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}")
    elif len(sys.argv) == 3 and sys.argv[1] == "check":
        for folder in sorted(pathlib.Path(sys.argv[2]).iterdir()):
            check(folder)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
