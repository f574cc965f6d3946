"""What the attacks of torchattacks 3.5.1 find on the networks of models.py, for the tests of gaat to compare with.

Parameters and images come from the hash of models.py; labels are the network's own answers, so that every image stands
at first. torchattacks holds AutoAttack's algorithms; its defaults differ from AutoAttack's standard version (10 steps
instead of 100, rescaled squares), so every number is given here.

Usage: python reference/attacks.py [attacks.json|attacks-cifar.json]...   (writes them, or both, to crates/gaat/tests/golden;
needs torchattacks, scipy, requests)
"""

import json
import sys
from dataclasses import dataclass

import torch
import torchattacks

from models import OUTPUT as MODELS
from models import convnet, fill, uniform

CLASSES = 10
STEPS, APGD_STEPS, FAB_STEPS, QUERIES, CW_STEPS = 10, 50, 30, 300, 100


@dataclass
class Case:
    """A network, its images, and how they are attacked."""

    model: object
    shape: tuple
    count: int
    # Images whose perturbed pixels are kept, one in `every` of them.
    exact: int
    every: int
    settings: dict


CASES = {
    "attacks.json": Case(
        model=lambda shape: convnet(shape, CLASSES),
        shape=(1, 8, 8),
        count=200,
        exact=8,
        every=1,
        settings={"Linf": {"epsilon": 0.03, "step": 0.01}, "L2": {"epsilon": 0.16, "step": 0.05}},
    ),
    # The shape of CIFAR-10.
    "attacks-cifar.json": Case(
        model=lambda shape: convnet(shape, CLASSES),
        shape=(3, 32, 32),
        count=80,
        exact=2,
        every=29,
        settings={"Linf": {"epsilon": 0.005, "step": 0.0015}, "L2": {"epsilon": 0.16, "step": 0.05}},
    ),
}


def network(case, dtype):
    model = case.model(case.shape)
    with torch.no_grad():
        fill(model)
    return model.to(dtype).eval()


def exact(case, norm):
    """FGSM and PGD from the clean images, in double precision: the whole perturbed images of the first few."""
    model = network(case, torch.float64)
    images = uniform("images", (case.count, *case.shape))[: case.exact]
    labels = model(images).argmax(1)
    epsilon, step = case.settings[norm]["epsilon"], case.settings[norm]["step"]
    if norm == "Linf":
        found = {
            "fgsm": torchattacks.FGSM(model, eps=epsilon),
            "pgd": torchattacks.PGD(model, eps=epsilon, alpha=step, steps=STEPS, random_start=False),
        }
    else:
        found = {"pgd": torchattacks.PGDL2(model, eps=epsilon, alpha=step, steps=STEPS, random_start=False)}
    return {name: attack(images, labels).flatten()[:: case.every].tolist() for name, attack in found.items()}


def robust(case, norm):
    """Share of the images that withstand each attack, and the mean length of FAB's perturbations."""
    model = network(case, torch.float32)
    images = uniform("images", (case.count, *case.shape)).float()
    labels = model(images).argmax(1)
    epsilon = case.settings[norm]["epsilon"]
    shared = {"norm": norm, "eps": epsilon}
    attacks = {
        "apgd-ce": torchattacks.APGD(model, steps=APGD_STEPS, loss="ce", **shared),
        "apgd-dlr": torchattacks.APGD(model, steps=APGD_STEPS, loss="dlr", **shared),
        "square": torchattacks.Square(model, n_queries=QUERIES, resc_schedule=False, **shared),
    }
    if norm == "Linf":
        # For L2 its targeted attack steps every image by the step of the first one.
        attacks["apgd-t"] = torchattacks.APGDT(model, steps=APGD_STEPS, n_classes=CLASSES, **shared)
    result = {}
    for name, attack in attacks.items():
        standing = model(attack(images, labels)).argmax(1) == labels
        result[name] = standing.double().mean().item()
    # A bound that holds every perturbation, so that all of them come back.
    fab = torchattacks.FAB(model, norm=norm, eps=1e3, steps=FAB_STEPS, n_restarts=1)
    delta = (fab(images, labels) - images).flatten(1)
    lengths = delta.abs().amax(1) if norm == "Linf" else delta.norm(dim=1)
    if norm == "L2":
        for name, attack in {
            "deepfool": torchattacks.DeepFool(model, steps=50, overshoot=0.02),
            "cw": torchattacks.CW(model, c=1, kappa=0, steps=CW_STEPS, lr=0.01),
        }.items():
            result[f"{name}-mean-length"] = (attack(images, labels) - images).flatten(1).norm(dim=1).mean().item()
    result["fab-mean-length"] = lengths.double().mean().item()
    result["fab-lengths"] = [round(length, 6) for length in lengths[:20].tolist()]
    return result


def main():
    torch.set_num_threads(1)
    for name in sys.argv[1:] or CASES:
        case = CASES[name]
        document = {"steps": STEPS, "apgd_steps": APGD_STEPS, "fab_steps": FAB_STEPS, "queries": QUERIES, "cw_steps": CW_STEPS}
        for norm, settings in case.settings.items():
            document[norm.lower()] = {**settings, "exact": exact(case, norm), "robust": robust(case, norm)}
            print(norm, document[norm.lower()]["robust"])
        MODELS.with_name(name).write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
