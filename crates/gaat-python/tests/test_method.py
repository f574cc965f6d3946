"""A method in a loop of one's own."""

import pytest
import torch
import torch.nn.functional as F

import gaat
from nets import SmallNet


def loop(method, net, images, steps=40, by_loss=False, **keys):
    x, y = images
    step = gaat.Method(method, net, eps=0.06, **keys)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    losses = []
    for number in range(steps):
        at = torch.arange(number * 50, number * 50 + 50) % len(x)
        net.train()
        if by_loss:
            loss = step.loss(x[at], y[at], at)
        else:
            delta = step.perturb(x[at], y[at], at)
            assert float(delta.abs().max()) <= 0.06 * (2 if method == "n-fgsm" else 1) + 1e-6 or method in ("n-fgsm", "fgsm-rs")
            loss = F.cross_entropy(net(x[at] + delta), y[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not by_loss:
            step.observe(loss)
        losses.append(float(loss.detach()))
    return step, losses


@pytest.mark.parametrize("method", ["natural", "rat", "gaat", "fgsm-rs", "n-fgsm"])
def test_images_to_train_on(method, images):
    torch.manual_seed(0)
    step, losses = loop(method, SmallNet(), images)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5]), losses
    assert (step.gain_ratio is not None) == (method in ("gaat", "fgsm-rs", "n-fgsm"))
    passes = step.passes[0] / (40 * 50)
    assert passes == {"natural": 0, "rat": 10}.get(method, passes) and passes <= 10


@pytest.mark.parametrize("total", [None, 40])
def test_gaat_leaves_the_ball_late_in_a_training_of_known_length(total, images):
    torch.manual_seed(0)
    x, y = images
    net = SmallNet()
    step = gaat.Method("gaat", net, eps=0.02, total_steps=total)
    optimizer = torch.optim.SGD(net.parameters(), 0.02, momentum=0.9)
    farthest = []
    for _ in range(40):
        delta = step.perturb(x[:50], y[:50])
        loss = F.cross_entropy(net(x[:50] + delta), y[:50])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step.observe(loss)
        farthest.append(float(delta.abs().max()) / 0.02)
    assert max(farthest[:20]) <= 1 + 1e-5
    leaves = max(farthest[20:]) > 1.2
    assert leaves == (total is not None), (farthest, step.gain_ratio)


@pytest.mark.parametrize("method", ["natural", "rat", "gaat", "trades", "mart", "gradalign"])
def test_losses_of_the_method(method, images):
    torch.manual_seed(0)
    net = SmallNet()
    _, losses = loop(method, net, images, by_loss=True, steps=30)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5]), losses


@pytest.mark.parametrize(
    "method, keys",
    [
        ("gaat-paper", {}),
        ("gaat-paper-diagonal", {}),
        ("zerograd", {}),
        ("nuat", {}),
        ("liet", {"consistency": 0}),
        ("fgsm-uap", {"consistency": 0}),
        ("sora", {"step_limit": 0}),
    ],
)
def test_a_loop_takes_the_losses_of_every_method_that_leaves_the_descent_alone(method, keys, images):
    torch.manual_seed(0)
    _, losses = loop(method, SmallNet(), images, by_loss=True, steps=30, **keys)
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5]), losses


@pytest.mark.parametrize("method, key", [("liet", "consistency"), ("fgsm-uap", "consistency"), ("sora", "step-limit")])
def test_a_term_of_the_descent_is_refused_by_its_key(method, key, images):
    with pytest.raises(ValueError, match=f"{key} needs the backward pass of the descent.*set {key} to 0"):
        gaat.Method(method, SmallNet(), eps=0.06).loss(images[0][:20], images[1][:20])


def test_the_loss_is_that_of_the_perturbed_images(images):
    torch.manual_seed(0)
    x, y = images[0][:50], images[1][:50]
    net = SmallNet()
    delta = gaat.Method("rat", net, eps=0.06).perturb(x, y)
    twin = SmallNet()
    twin.load_state_dict(net.state_dict())
    loss = gaat.Method("rat", net, eps=0.06).loss(x, y)
    expected = F.cross_entropy(twin(x + delta), y)
    assert torch.allclose(loss, expected, atol=1e-5)
    assert torch.allclose(net.stem[1].running_mean, twin.stem[1].running_mean, atol=1e-6)
    loss.backward(), expected.backward()
    assert torch.allclose(net.head.weight.grad, twin.head.weight.grad, atol=1e-5)


def test_what_a_loop_cannot_do_is_refused(images):
    x, y = images[0][:20], images[1][:20]
    for method in ["free", "fgsm-mep", "gaat-memory", "awp+rat"]:
        with pytest.raises(ValueError, match="backward pass of the descent"):
            gaat.Method(method, SmallNet(), eps=0.06).perturb(x, y)
    with pytest.raises(ValueError, match="ask for its loss"):
        gaat.Method("trades", SmallNet(), eps=0.06).perturb(x, y)
    with pytest.raises(ValueError, match="train naturally first"):
        gaat.Method("dat+rat", SmallNet(), eps=0.06).perturb(x, y)
    with pytest.raises(ValueError, match="perturb a batch first"):
        gaat.Method("gaat", SmallNet(), eps=0.06).observe(1.0)
    with pytest.raises(ValueError, match="unknown|known"):
        gaat.Method("gat", SmallNet(), eps=0.06).perturb(x, y)
