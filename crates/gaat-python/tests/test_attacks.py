"""Attacks: words, balls, refusals, repetition, autocast and inference mode."""

import pytest
import torch
from torch import nn

import gaat
from gaat import attacks
from nets import SmallNet

EVERY = {
    "FGSM": lambda model, eps, norm: attacks.FGSM(model, eps=eps, norm=norm),
    "PGD": lambda model, eps, norm: attacks.PGD(model, eps=eps, alpha=eps / 3, steps=4, norm=norm),
    "MIFGSM": lambda model, eps, norm: attacks.MIFGSM(model, eps=eps, alpha=eps / 3, steps=4, norm=norm),
    "APGD-ce": lambda model, eps, norm: attacks.APGD(model, norm, eps, steps=5),
    "APGD-dlr": lambda model, eps, norm: attacks.APGD(model, norm, eps, steps=5, loss="dlr"),
    "APGDT": lambda model, eps, norm: attacks.APGDT(model, norm, eps, steps=5, n_classes=4),
    "FAB": lambda model, eps, norm: attacks.FAB(model, norm, eps, steps=5),
    "FAB-t": lambda model, eps, norm: attacks.FAB(model, norm, eps, steps=5, multi_targeted=True, n_classes=4),
    "Square": lambda model, eps, norm: attacks.Square(model, norm, eps, n_queries=50),
    "DeepFool": lambda model, eps, norm: attacks.DeepFool(model, 5, eps=eps, norm=norm),
    "pgd-margin": lambda model, eps, norm: attacks.Named(model, "pgd-margin", eps, norm=norm, steps=5, restarts=2),
    "AutoAttack": lambda model, eps, norm: attacks.AutoAttack(
        model, norm, eps, verbose=False, version="custom", attacks_to_run=["apgd-ce", "fab-t"]
    ),
}


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("name", EVERY)
def test_every_attack_stays_in_ball_and_box_and_hurts(name, norm, net, test_images):
    x, y = test_images[0][:60], test_images[1][:60]
    eps = 0.1 if norm == "Linf" else 1.0
    attack = EVERY[name](net, eps, norm)
    found = attack(x, y)
    delta = (found - x).flatten(1)
    length = delta.abs().amax(1) if norm == "Linf" else delta.norm(dim=1)
    assert found.shape == x.shape and found.dtype == x.dtype
    assert float(length.max()) <= eps + 1e-5 and float(found.min()) >= 0 and float(found.max()) <= 1
    assert gaat.clean_accuracy(net, found, y) < gaat.clean_accuracy(net, x, y), name


def test_carlini_wagner(net, test_images):
    x, y = test_images[0][:20], test_images[1][:20]
    found = attacks.CW(net, eps=2.0, steps=60, searches=3)(x, y)
    assert float((found - x).flatten(1).norm(dim=1).max()) <= 2.0 + 1e-5
    assert gaat.clean_accuracy(net, found, y) < gaat.clean_accuracy(net, x, y)


def test_lengths_are_numbers_or_fractions(net, test_images):
    x, y = test_images[0][:8], test_images[1][:8]
    one, other = (attacks.FGSM(net, eps=eps)(x, y) for eps in ("8/255", 8 / 255))
    assert torch.allclose(one, other, atol=1e-7)
    with pytest.raises(ValueError, match="8/255"):
        attacks.FGSM(net, eps="8/0")(x, y)
    with pytest.raises(ValueError, match="did you mean 8/255"):
        attacks.FGSM(net, eps=8)(x, y)


def test_the_same_program_gives_the_same_images_and_every_call_new_ones(net, test_images):
    x, y = test_images[0][:8], test_images[1][:8]
    first, second = (attacks.PGD(net, eps=0.1, steps=1) for _ in range(2))
    a, b = first(x, y), first(x, y)
    torch.rand(3)
    assert torch.equal(a, second(x, y)) and torch.equal(b, second(x, y)) and not torch.equal(a, b)
    assert not torch.equal(a, attacks.PGD(net, eps=0.1, steps=1, seed=1)(x, y))


def test_a_network_that_draws_repeats_by_the_seed_and_leaves_the_generators_alone(net, test_images):
    class Noisy(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x + 0.1 * torch.randn_like(x))

    x, y = test_images[0][:20], test_images[1][:20]
    found = []
    for _ in range(2):
        torch.rand(5)
        before = torch.get_rng_state()
        found.append(attacks.PGD(Noisy(net), eps=0.1, steps=3)(x, y))
        assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(*found)


def test_normalisation_is_part_of_the_model(net, test_images):
    class Scaled(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x * 0.5 + 0.25)

    x, y = test_images[0][:30], test_images[1][:30]
    plain = attacks.PGD(net, eps=0.1, steps=3)(x, y)
    scaled = attacks.PGD(gaat.Model(Scaled(net), mean=[0.25], std=[0.5]), eps=0.1, steps=3)(x, y)
    assert torch.allclose(plain, scaled, atol=1e-6)


REFUSED = {
    "bytes": (lambda x, y: ((x * 255).byte(), y), TypeError, r"x.float\(\) / 255"),
    "double": (lambda x, y: (x.double(), y), TypeError, r"x.to\(torch.float32\)"),
    "normalised": (lambda x, y: (x * 4 - 2, y), ValueError, "leave Normalize out"),
    "nan": (lambda x, y: (x * float("nan"), y), ValueError, "NaN"),
    "one image": (lambda x, y: (x[0], y[0]), ValueError, r"\[N, C, H, W\]"),
    "short": (lambda x, y: (x, y[:-1]), ValueError, "a label for each of 8 images"),
    "int32": (lambda x, y: (x, y.int()), TypeError, r"y.long\(\)"),
    "classes": (lambda x, y: (x, y + 10), ValueError, "the module has 10 classes"),
    "device": (lambda x, y: (x.to("meta"), y), ValueError, r'x.to\("cpu"\)'),
    "numpy": (lambda x, y: (x.numpy(), y), TypeError, "expected a torch.Tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_with_the_line_that_mends(name, net, test_images):
    change, kind, words = REFUSED[name]
    x, y = change(test_images[0][:8], test_images[1][:8])
    with pytest.raises(kind, match=words):
        attacks.PGD(net, eps=0.1)(x, y)


def test_modules_that_do_not_fit_are_refused_with_the_line_that_mends(net, test_images):
    x, y = test_images[0][:8], test_images[1][:8]

    class Pair(SmallNet):
        def forward(self, x):
            return super().forward(x), x

    for module, kind, words in [
        (Pair(), TypeError, "wrap the module"),
        (nn.Conv2d(1, 3, 3), ValueError, "logits"),
        (SmallNet().half(), TypeError, r"module.float\(\)"),
    ]:
        with pytest.raises(kind, match=words):
            attacks.PGD(module, eps=0.1)(x, y)
    with pytest.raises(TypeError, match="expected a torch.nn.Module"):
        attacks.PGD(lambda x: x, eps=0.1)
    with pytest.raises(ValueError, match="belong together"):
        gaat.Model(net, mean=[0.5])
    with pytest.raises(ValueError, match="3 channels, the images 1"):
        attacks.PGD(gaat.Model(net, mean=[0.5] * 3, std=[0.5] * 3), eps=0.1)(x, y)
    with pytest.raises(ValueError, match="rho = 0.5"):
        attacks.APGD(net, rho=0.5)
    with pytest.raises(ValueError, match='norm = l1: there are "Linf" and "L2"'):
        attacks.PGD(net, eps=0.1, norm="L1")(x, y)


def test_inference_mode_no_grad_and_double_work(net, test_images):
    x, y = test_images[0][:20], test_images[1][:20]
    expected = attacks.PGD(net, eps=0.1, steps=3)(x, y)
    for guard in (torch.inference_mode, torch.no_grad):
        with guard():
            inside = x.clone(), y.clone()
            found = attacks.PGD(net, eps=0.1, steps=3)(*inside)
            assert torch.is_inference_mode_enabled() == (guard is torch.inference_mode)
        assert torch.equal(found, expected)
    found = attacks.PGD(net.double(), eps=0.1, steps=3)(x.double(), y)
    assert found.dtype == torch.float64
    net.float()


def test_autocast_reaches_the_module_and_nothing_else(net, test_images):
    x, y = test_images[0][:20], test_images[1][:20]
    seen = set()
    hook = net.stem[0].register_forward_hook(lambda _module, _input, output: seen.add(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = attacks.PGD(net, eps=0.1, steps=3)(x, y)
    assert seen == {torch.bfloat16} and found.dtype == torch.float32
    assert torch.equal(found, attacks.PGD(gaat.Model(net, autocast=torch.bfloat16), eps=0.1, steps=3)(x, y))
    hook.remove()


def test_outputs_of_hugging_face_are_understood(net, test_images):
    class Output:
        def __init__(self, logits):
            self.logits = logits

    class Wrapped(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return Output(self.inner(x))

    x, y = test_images[0][:20], test_images[1][:20]
    assert torch.equal(attacks.PGD(Wrapped(net), eps=0.1)(x, y), attacks.PGD(net, eps=0.1)(x, y))


def test_autoattack_tells_as_the_reference_does(net, test_images, capsys):
    x, y = test_images[0][:40], test_images[1][:40]
    attack = attacks.AutoAttack(net, eps=0.06, version="custom", attacks_to_run=["apgd-ce", "square"])
    found, said = attack.run_standard_evaluation(x, y, bs=16, return_labels=True)
    text = capsys.readouterr().out
    assert "initial accuracy: " in text and "robust accuracy after SQUARE: " in text
    assert list(attack.accuracies) == ["clean", "apgd-ce", "square"]
    shares = list(attack.accuracies.values())
    assert shares == sorted(shares, reverse=True)
    assert abs(shares[-1] - float((net(found).argmax(1) == y).double().mean())) < 1e-9
    assert torch.equal(said, net(found).argmax(1))
    with pytest.raises(ValueError, match="there are standard, plus, rand and custom"):
        attacks.AutoAttack(net, version="fast")


def test_threads_that_share_a_model_wait_for_each_other(net, test_images):
    from concurrent.futures import ThreadPoolExecutor

    x, y = test_images[0][:40], test_images[1][:40]
    model = gaat.Model(net)
    expected = attacks.PGD(model, eps=0.1, steps=5)(x, y)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(lambda: attacks.PGD(model, eps=0.1, steps=5)(x, y)) for _ in range(8)]
        assert all(torch.equal(job.result(), expected) for job in jobs)
