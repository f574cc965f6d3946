"""AutoAttack (standard, L-infinity) of torchattacks 3.5.1 on a network of models.py, part by part, each on what the last left.

To hold `gaat evaluate --attack autoattack` against, on the same weights and images:

    gaat export RUN --format safetensors --out w.safetensors
    gaat attack RUN --epsilon 0.3 --attack fgsm --limit 1000 --out images.npz
    gaat evaluate RUN --epsilon 0.3 --attack autoattack --limit 1000 --threads 1
    python reference/autoattack.py w.safetensors images.npz 0.3 1

Usage: autoattack.py WEIGHTS.safetensors IMAGES.npz EPSILON THREADS   (with config.json beside the weights, as `gaat export`
leaves it; needs torch, safetensors, torchattacks, scipy, requests)
"""

import json
import pathlib
import sys
import time

import numpy
import torch
import torchattacks
from safetensors.torch import load_file

import bench

BATCH, CLASSES = 500, 10


def parts(model, epsilon):
    """AutoAttack's own numbers; those that torchattacks sets otherwise are given."""
    common = {"norm": "Linf", "eps": epsilon, "seed": 0, "verbose": False}
    return {
        "apgd-ce": torchattacks.APGD(model, loss="ce", n_restarts=1, steps=100, **common),
        "apgd-t": torchattacks.APGDT(model, n_classes=CLASSES, n_restarts=1, steps=100, **common),
        "fab-t": torchattacks.FAB(
            model, multi_targeted=True, n_classes=CLASSES, n_restarts=1, steps=100, **common
        ),
        "square": torchattacks.Square(model, n_queries=5000, n_restarts=1, resc_schedule=False, **common),
    }


def loaded(weights):
    """The exported network, pixels in and logits out."""
    config = json.loads((weights.parent / "config.json").read_text())
    model = bench.built(config["model"]).eval()
    model.network.load_state_dict(load_file(weights))
    for name, values in (("mean", config["mean"]), ("std", config["std"])):
        getattr(model, name).copy_(torch.tensor(values).reshape(1, -1, 1, 1))
    return model


def main():
    weights, images, epsilon, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    model = loaded(pathlib.Path(weights))
    saved = numpy.load(images)
    clean, labels = torch.from_numpy(saved["clean"]), torch.from_numpy(saved["labels"])
    with torch.no_grad():
        standing = (model(clean).argmax(1) == labels).nonzero()[:, 0]
    print(f"clean {100 * len(standing) / len(labels):.2f} %", flush=True)
    whole = time.perf_counter()
    for name, attack in parts(model, float(epsilon)).items():
        started, left = time.perf_counter(), []
        for places in standing.split(BATCH):
            perturbed = attack(clean[places], labels[places])
            assert (perturbed - clean[places]).abs().max() <= float(epsilon) + 1e-6
            with torch.no_grad():
                left.append(places[model(perturbed).argmax(1) == labels[places]])
        standing = torch.cat(left)
        seconds = time.perf_counter() - started
        print(f"{name} {100 * len(standing) / len(labels):.2f} % in {seconds:.1f} s", flush=True)
    print(f"together {time.perf_counter() - whole:.1f} s")


if __name__ == "__main__":
    main()
