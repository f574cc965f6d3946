"""Tensors that cross, one libtorch, and what must stay as it was."""

import os
import subprocess
import sys
import threading
import time

import pytest
import torch
from torch import nn

import gaat
from gaat import _gaat
from nets import ResNet18, Secret, SmallNet

ROOT = os.path.dirname(torch.__file__)


def test_one_libtorch_is_in_the_process_and_it_is_the_one_of_torch():
    with open("/proc/self/maps") as maps:
        mapped = {os.path.realpath(line.split()[-1]) for line in maps if "/" in line}
    for name in ("libtorch_cpu", "libtorch_python", "libc10.so", "libgomp"):
        found = [path for path in mapped if name in os.path.basename(path)]
        assert len(found) == 1 and found[0].startswith(os.path.realpath(ROOT)), (name, found)
    assert os.path.samefile(_gaat.libtorch(), os.path.join(ROOT, "lib", "libtorch_cpu.so"))


def test_another_torch_is_refused_by_name():
    program = "import torch; torch.__version__ = '2.9.1'; import gaat"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.returncode == 1
    assert "gaat needs torch 2.11.*, and this is torch 2.9.1" in found.stderr and "pip install" in found.stderr


def test_tensors_cross_as_the_same_object_with_their_graph():
    x = torch.randn(4, requires_grad=True)
    y = x * 2
    back = _gaat.echo(y)
    assert back is y and back.grad_fn is y.grad_fn
    parameter = nn.Parameter(torch.randn(3))
    assert _gaat.echo(parameter) is parameter
    e = _gaat.exponential(y)
    e.sum().backward()
    assert torch.allclose(x.grad, 2 * (2 * x).exp())
    with pytest.raises(TypeError, match=r"expected a torch.Tensor, found <class 'list'>"):
        _gaat.echo([1])


def state(net):
    return {
        "modes": [part.training for part in net.modules()],
        "tracks": [getattr(part, "track_running_stats", None) for part in net.modules()],
        "buffers": [(id(buffer), buffer.clone()) for buffer in net.buffers()],
        "parameters": [(id(p), p.detach().clone(), p.grad, p.requires_grad) for p in net.parameters()],
        "generator": torch.get_rng_state(),
    }


def same(before, after):
    for key in before:
        for one, other in zip(before[key], after[key], strict=True):
            pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
            for left, right in pairs:
                assert torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right, key


CALLS = {
    "fab": lambda model, x, y: gaat.attacks.FAB(model, eps=0.1, steps=3)(x, y),
    "attack": lambda model, x, y: gaat.attacks.PGD(model, eps=0.1, alpha=0.05, steps=2)(x, y),
    "apgd": lambda model, x, y: gaat.attacks.APGD(model, eps=0.1, steps=3)(x, y),
    "evaluate": lambda model, x, y: gaat.evaluate(model, (x, y), eps=0.1, attacks=["fgsm"], probe_images=0),
    "perturb": lambda model, x, y: gaat.Method("gaat", model, eps=0.1).perturb(x, y),
    "accuracy": lambda model, x, y: gaat.clean_accuracy(model, x, y),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("make", [SmallNet, Secret, lambda: SmallNet(p=0.5)])
@pytest.mark.parametrize("training", [True, False, "partly"])
def test_modes_buffers_gradients_and_generators_are_what_they_were(call, make, training, images):
    x, y = images[0][:20], images[1][:20]
    net = make()
    net.train(bool(training))
    if training == "partly":
        net.stem.eval()
    before = state(net)
    CALLS[call](gaat.Model(net), x, y)
    same(before, state(net))

    class Broken(Exception):
        pass

    def fail(*_):
        raise Broken

    hook = net.head.register_forward_hook(fail)
    with pytest.raises(Broken):
        CALLS[call](gaat.Model(net, classes=10), x, y)
    hook.remove()
    same(before, state(net))


def test_errors_of_forward_come_back_with_their_traceback(images):
    class Broken(SmallNet):
        def forward(self, x):
            raise KeyError("my own mistake")

    with pytest.raises(KeyError, match="my own mistake") as caught:
        gaat.attacks.PGD(gaat.Model(Broken(), classes=10))(*(part[:4] for part in images))
    assert "forward" in [frame.name for frame in caught.traceback]


class BadBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise IndexError("in backward")


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


def test_functions_of_autograd_work_and_their_errors_are_told(net, images):
    x, y = images[0][:20], images[1][:20]

    class Doubled(nn.Module):
        def __init__(self, function, inner):
            super().__init__()
            self.function, self.inner = function, inner

        def forward(self, x):
            return self.inner(self.function.apply(x))

    moved = gaat.attacks.PGD(Doubled(Double, net), eps=0.1, alpha=0.05, steps=2)(x, y)
    assert not torch.equal(moved, x)
    with pytest.raises(Exception, match="in backward"):
        gaat.attacks.PGD(Doubled(BadBackward, net), eps=0.1)(x, y)
    assert torch.ones(2).sum() == 2


def test_other_threads_run_meanwhile():
    net, count, stop = ResNet18(width=16), [0], threading.Event()

    def tick():
        while not stop.wait(0.001):
            count[0] += 1

    thread = threading.Thread(target=tick)
    thread.start()
    started = time.perf_counter()
    gaat.attacks.PGD(net, steps=5)(torch.rand(32, 3, 32, 32), torch.zeros(32, dtype=torch.long))
    took = time.perf_counter() - started
    stop.set()
    thread.join()
    assert count[0] > 20 * took


INTERRUPTED = """
import os, signal, sys, threading, time, torch, gaat
from nets import ResNet18
torch.set_num_threads(1)
net = ResNet18(width=16)
attack = gaat.attacks.PGD(net, steps=1000)
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
started = time.perf_counter()
try:
    attack(torch.rand(16, 3, 32, 32), torch.zeros(16, dtype=torch.long))
except KeyboardInterrupt:
    print("interrupted", time.perf_counter() - started, all(part.training for part in net.modules()))
"""


def test_control_c_ends_an_attack():
    found = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, cwd=os.path.dirname(__file__))
    words = found.stdout.split()
    assert words[:1] == ["interrupted"] and float(words[1]) < 20 and words[2] == "True", found
