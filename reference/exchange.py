"""Proves the exchange of networks with PyTorch and ONNX Runtime; the tests of gaat call it where Python has the packages.

Usage: python reference/exchange.py check DIR   judge what gaat exported, one folder a network: model.safetensors with
                                                config.json, model.onnx, folded.onnx, and expected.safetensors with
                                                pixels and the logits that gaat computes
       python reference/exchange.py write DIR   write the state dict of every network of models.py in every layout
       python reference/exchange.py packages    say which packages are there, or fail

Needs torch, torchvision, safetensors, onnx and onnxruntime.
"""

import json
import pathlib
import sys

import onnx
import onnxruntime
import safetensors.torch
import torch

from models import CASES, fill

TOLERANCE = 1e-5


def public_model(name, shape, classes):
    definitions = [case[1] for case in CASES if case[0] == name]
    if not definitions:
        sys.exit(f"{name}: models.py defines no such network")
    return definitions[0](shape, classes)


def compare(what, found, expected):
    """Largest difference, over the largest expected number where that is above 1."""
    if found.shape != expected.shape:
        sys.exit(f"{what}: shape {tuple(found.shape)} instead of {tuple(expected.shape)}")
    difference = ((found - expected).abs().max() / expected.abs().max().clamp(min=1)).item()
    # Written so that NaN fails.
    if not difference <= TOLERANCE:
        sys.exit(f"{what}: logits differ by {difference:.1e}, allowed {TOLERANCE:.0e}")
    return difference


def in_pytorch(folder, config, pixels, expected):
    model = public_model(config["model"], tuple(config["input"]), config["classes"])
    state = safetensors.torch.load_file(folder / "model.safetensors")
    model.load_state_dict(state, strict=True)
    mean, std = (torch.tensor(config[key]).reshape(1, -1, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        return compare(f"{folder.name} in PyTorch", model.eval()((pixels - mean) / std), expected)


def in_onnx_runtime(path, config, pixels, expected):
    what = f"{path.parent.name}/{path.name}"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    text = {entry.key: entry.value for entry in model.metadata_props}["gaat"]
    if json.loads(text) != config:
        sys.exit(f"{what}: its configuration is not that of config.json")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    ports = (source.name, source.type, source.shape, target.name, target.shape)
    if ports != ("pixels", "tensor(float)", ["batch", *config["input"]], "logits", ["batch", config["classes"]]):
        sys.exit(f"{what}: takes and gives {ports}")
    worst = 0.0
    for count in (len(pixels), 1):
        (found,) = session.run(None, {"pixels": pixels[:count].numpy()})
        worst = max(worst, compare(what, torch.from_numpy(found), expected[:count]))
    return worst, sum(node.op_type == "BatchNormalization" for node in model.graph.node)


def check(root):
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    if not folders:
        sys.exit(f"{root}: nothing to check")
    for folder in folders:
        config = json.loads((folder / "config.json").read_text())
        tensors = safetensors.torch.load_file(folder / "expected.safetensors")
        pixels, expected = tensors["pixels"], tensors["logits"]
        pytorch = in_pytorch(folder, config, pixels, expected)
        kept, norms = in_onnx_runtime(folder / "model.onnx", config, pixels, expected)
        folded, left = in_onnx_runtime(folder / "folded.onnx", config, pixels, expected)
        if left > norms or (norms and left == norms):
            sys.exit(f"{folder.name}: of {norms} batch normalisations {left} are left after folding")
        print(f"{folder.name}: PyTorch {pytorch:.1e}, ONNX {kept:.1e}, folded {folded:.1e}, normalisations {norms} to {left}")


def write(root):
    for index, (name, definition, shape, classes, _) in enumerate(CASES):
        folder = root / str(index)
        folder.mkdir()
        model = definition(shape, classes)
        with torch.no_grad():
            fill(model)
        state = model.state_dict()
        parallel = torch.nn.DataParallel(model).state_dict()
        torch.save(state, folder / "zip.pt")
        torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
        torch.save({"epoch": 3, "model_state_dict": state}, folder / "wrapped.pth")
        old = {"state_dict": parallel, "best": torch.tensor(0.5)}
        torch.save(old, folder / "parallel.pth", _use_new_zipfile_serialization=False)
        safetensors.torch.save_file(parallel, folder / "parallel.safetensors")
        (folder / "model").write_text(name)


def main():
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["check", root]:
            check(pathlib.Path(root))
        case ["write", root]:
            write(pathlib.Path(root))
        case ["packages"]:
            print(f"torch {torch.__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
