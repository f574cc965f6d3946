"""The same attacks by torchattacks, on the same module: how many of 500 images withstand."""

import pytest
import torch

import gaat

torchattacks = pytest.importorskip("torchattacks", exc_type=ImportError)
EPS = 0.06


def fab_within_the_ball(net):
    """torchattacks' FAB with gaat's rule: a point that is found up to a hundredth outside the ball is cut to it, and judged there.
    By itself torchattacks drops such a point, two of these images on some processors."""
    attack = torchattacks.FAB(net, eps=1.01 * EPS, steps=50)
    return lambda x, y: torch.max(torch.min(attack(x, y), x + EPS), x - EPS)


PAIRS = {
    "FGSM": (lambda net: gaat.attacks.FGSM(net, eps=EPS), lambda net: torchattacks.FGSM(net, eps=EPS)),
    "PGD": (
        lambda net: gaat.attacks.PGD(net, eps=EPS, alpha=EPS / 4, steps=20, random_start=False),
        lambda net: torchattacks.PGD(net, eps=EPS, alpha=EPS / 4, steps=20, random_start=False),
    ),
    "PGD from random starts": (
        lambda net: gaat.attacks.PGD(net, eps=EPS, alpha=EPS / 4, steps=20),
        lambda net: torchattacks.PGD(net, eps=EPS, alpha=EPS / 4, steps=20),
    ),
    "PGDL2": (
        lambda net: gaat.attacks.PGDL2(net, eps=0.4, alpha=0.1, steps=20, random_start=False),
        lambda net: torchattacks.PGDL2(net, eps=0.4, alpha=0.1, steps=20, random_start=False),
    ),
    "MIFGSM": (
        lambda net: gaat.attacks.MIFGSM(net, eps=EPS, alpha=EPS / 4, steps=10),
        lambda net: torchattacks.MIFGSM(net, eps=EPS, alpha=EPS / 4, steps=10),
    ),
    "APGD": (
        lambda net: gaat.attacks.APGD(net, eps=EPS, steps=50),
        lambda net: torchattacks.APGD(net, eps=EPS, steps=50),
    ),
    "FAB": (
        lambda net: gaat.attacks.FAB(net, eps=EPS, steps=50),
        fab_within_the_ball,
    ),
    "Square": (
        lambda net: gaat.attacks.Square(net, eps=EPS, n_queries=1000),
        lambda net: torchattacks.Square(net, eps=EPS, n_queries=1000, resc_schedule=False),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.filterwarnings("ignore")
def test_as_many_images_withstand(name, net, test_images):
    x, y = test_images
    torch.manual_seed(0)
    found = [make(net)(x, y) for make in PAIRS[name]]
    ours, theirs = (int((net(moved).argmax(1) == y).sum()) for moved in found)
    print(f"{name}: gaat {ours}, torchattacks {theirs} of {len(y)}")
    assert abs(ours - theirs) <= 1


@pytest.mark.filterwarnings("ignore")
def test_fab_proposes_what_that_of_torchattacks_does(net, test_images):
    x, y = test_images
    ours = gaat.attacks.FAB(net, eps=EPS, steps=50)(x, y)
    # The nearest misclassified points, however far: brought back to the ball, as gaat does with its own.
    proposed = torchattacks.FAB(net, eps=EPS, steps=50).attack_single_run(x, y, use_rand_start=False).detach()
    theirs = x + (proposed - x).clamp(-EPS, EPS)
    withstood = [int((net(moved).argmax(1) == y).sum()) for moved in (ours, theirs)]
    print(f"FAB, brought back to the ball: gaat {withstood[0]}, torchattacks {withstood[1]} of {len(y)}")
    assert abs(withstood[0] - withstood[1]) <= 1
