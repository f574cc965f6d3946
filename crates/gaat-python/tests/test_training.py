"""Whole runs: trained in place, stopped and resumed bit for bit, interrupted, loaded back, refused."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

import gaat
from nets import ResNet18, SmallNet

KEYS = dict(eps=0.06, epochs=3, batch_size=50, learning_rate=0.05, validation_steps=2)


def network(p=0.0):
    torch.manual_seed(1)
    return SmallNet(p=p)


def equal(one, other):
    left, right = one.state_dict(), other.state_dict()
    return all(torch.equal(left[name], right[name]) for name in left if not name.endswith("num_batches_tracked"))


def few(images, count=400):
    return images[0][:count], images[1][:count]


def test_a_run_trains_in_place_and_keeps_a_directory(images, tmp_path):
    net = network().eval()
    before = {name: id(tensor) for name, tensor in net.named_parameters()}
    losses = []
    run = gaat.train(
        net, few(images), out=tmp_path / "a", on_event=lambda told: losses.append(told["loss"]) if told["event"] == "step" else None, **KEYS
    )
    assert run.status == "done" and len(run.epochs) == 3 and len(losses) == 3 * 8
    assert sum(losses[-5:]) < sum(losses[:5]) and run.epochs[-1]["validation_clean"] > 0.5
    assert {name: id(tensor) for name, tensor in net.named_parameters()} == before
    assert not net.training and all(parameter.grad is None for parameter in net.parameters())
    again = gaat.Run(tmp_path / "a")
    assert again.record == run.record and again.recipe["method"] == "gaat" and again.record["model"]["name"] == "small-net"
    back = network()
    gaat.load(tmp_path / "a", back, "last")
    assert equal(back, net)
    gaat.load(tmp_path / "a", back)
    with pytest.raises(OSError, match="missing|head.weight"):
        gaat.load(tmp_path / "a", SmallNet(width=8))
    with pytest.raises(FileExistsError, match="not an empty directory"):
        gaat.train(network(), few(images), out=tmp_path / "a", **KEYS)
    with pytest.raises(OSError, match="another recipe"):
        gaat.train(network(), few(images), out=tmp_path / "a", resume=True, **{**KEYS, "eps": 0.05})
    finished = network()
    gaat.train(finished, few(images), out=tmp_path / "a", resume=True, **KEYS)
    assert equal(finished, net)


@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("method", ["gaat", "rat", "free", "gaat-memory"])
def test_a_run_that_was_stopped_ends_bit_for_bit_as_one_that_was_not(p, method, images, tmp_path):
    whole = network(p)
    keys = {**KEYS, "method": method, "epochs": 2}
    gaat.train(whole, few(images), **keys)
    steps = []

    def stop(told):
        if told["event"] == "step":
            steps.append(told["step"])
        return len(steps) < 5

    parts, run = 0, None
    while run is None or run.status != "done":
        torch.rand(3)
        net = network(p)
        steps.clear()
        run = gaat.train(net, few(images), out=tmp_path / "parts", resume=True, on_event=stop, **keys)
        parts += 1
    assert parts > 2 and equal(net, whole)


def test_training_leaves_the_generators_alone(images):
    net = network(0.2)
    before = torch.get_rng_state()
    gaat.train(net, few(images, 100), **{**KEYS, "epochs": 1})
    assert torch.equal(before, torch.get_rng_state())


def test_validation_images_can_be_given(images, test_images):
    run = gaat.train(network(), few(images), validation=few(test_images, 50), **{**KEYS, "epochs": 1})
    assert run.record["images"] == 400 and run.recipe["validation-fraction"] == 0


def test_averages_are_kept_of_a_twin(images, tmp_path):
    net = network()
    gaat.train(net, few(images), out=tmp_path / "a", weight_averaging=0.5, **KEYS)
    average = gaat.load(tmp_path / "a", network(), "last").module
    assert not equal(average, net)


def test_a_loader_is_read_in_the_order_of_its_data_set(images):
    one, other = network(), network()
    gaat.train(one, few(images), **KEYS)
    loader = DataLoader(TensorDataset(*few(images)), batch_size=50, shuffle=True)
    gaat.train(other, loader, **{name: value for name, value in KEYS.items() if name != "batch_size"})
    assert equal(one, other)


class Jittered(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        return torch.rand(1, 8, 8).mul(255).round().div(255), index % 10


def test_what_does_not_fit_is_refused_with_the_line_that_mends(images):
    x, y = few(images, 100)
    for data, words in [
        ((x + 0.4 / 255).clamp(0, 1), r"x.mul\(255\).round\(\).div\(255\)"),
        (x - 0.5, "Normalize"),
    ]:
        with pytest.raises(ValueError, match=words):
            gaat.train(network(), (data, y), **KEYS)
    with pytest.raises(ValueError, match="crop_padding=4 and flip=True"):
        gaat.train(network(), Jittered(), **KEYS)
    with pytest.raises(ValueError, match="requires a gradient"):
        gaat.train(network().requires_grad_(False), (x, y), **KEYS)
    frozen = network()
    frozen.stem[1].momentum = None
    with pytest.raises(ValueError, match="give it a momentum"):
        gaat.train(frozen, (x, y), **KEYS)

    class Broken(SmallNet):
        def forward(self, x):
            if self.training:
                raise KeyError("my own mistake")
            return super().forward(x)

    with pytest.raises(KeyError, match="my own mistake"):
        gaat.train(Broken(), (x, y), **KEYS)


def test_frozen_parts_stay_frozen(images):
    net = network().train()
    net.stem.requires_grad_(False).eval()
    before = [tensor.clone() for tensor in net.stem.state_dict().values()]
    gaat.train(net, few(images), **{**KEYS, "epochs": 1})
    assert all(map(torch.equal, before, net.stem.state_dict().values()))
    assert not net.stem.training and net.head.training


@pytest.mark.parametrize("method", ["natural", "rat", "gaat"])
def test_a_module_trains_as_the_engines_own_network_does(method, monkeypatch):
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 256, (96, 3, 16, 16), dtype=torch.uint8, generator=generator)
    y = torch.arange(96) % 10
    keys = dict(eps="8/255", epochs=2, batch_size=32, learning_rate=0.02, validation=(x[:32], y[:32]), method=method)

    def losses(built_in=None):
        torch.manual_seed(0)
        net, found = ResNet18(width=8), []
        train = gaat._gaat.train
        with monkeypatch.context() as patch:
            patch.setattr("gaat._gaat.train", lambda *given, **words: train(*given, **words, built_in=built_in))
            run = gaat.train(net, (x, y), on_event=lambda told: found.append(told["loss"]) if told["event"] == "step" else None, **keys)
        return found, run.record

    (ours, record), (native, other) = losses(), losses("resnet-18-w8")
    assert len(ours) == 6 and ours == pytest.approx(native, rel=1e-4)
    for key in ("validation_clean", "validation_robust"):
        assert [epoch[key] for epoch in record["epochs"]] == pytest.approx([epoch[key] for epoch in other["epochs"]], abs=1.5 / 32)
    assert (record["model"]["name"], other["model"]["name"]) == ("res-net18", "resnet-18-w8")
    assert record["passes"] == other["passes"]


TICKING = """
import os, signal, threading, torch, gaat
from nets import SmallNet
torch.set_num_threads(1)
ticks, stop = [], threading.Event()
def tick():
    while not stop.wait(0.001):
        ticks.append(None)
thread = threading.Thread(target=tick)
thread.start()
x, y = torch.rand(2000, 1, 8, 8).mul(255).round().div(255), torch.randint(0, 10, (2000,))
threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    gaat.train(SmallNet(), (x, y), eps=0.1, epochs=10000)
except KeyboardInterrupt:
    before = len(ticks)
    stop.wait(0.2)
    print(before, len(ticks) - before, thread.is_alive())
stop.set()
thread.join()
"""


def test_other_threads_run_through_a_training_and_the_interrupt_that_ends_it():
    found = subprocess.run([sys.executable, "-c", TICKING], capture_output=True, text=True, cwd=os.path.dirname(__file__))
    during, after, is_alive = found.stdout.split()
    assert int(during) > 50 and int(after) > 10 and is_alive == "True", found


INTERRUPTED = """
import os, signal, sys, threading, torch, gaat
from nets import SmallNet
torch.set_num_threads(1)
torch.manual_seed(1)
net = SmallNet()
x, y = torch.rand(2000, 1, 8, 8).mul(255).round().div(255), torch.randint(0, 10, (2000,))
threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()
before = signal.getsignal(signal.SIGINT)
try:
    gaat.train(net, (x, y), eps=0.1, epochs=10000, out=sys.argv[1])
except KeyboardInterrupt as error:
    print(error, signal.getsignal(signal.SIGINT) is before)
"""


def test_control_c_ends_a_training_with_its_state_saved(tmp_path):
    place = str(tmp_path / "run")
    found = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, place], capture_output=True, text=True, cwd=os.path.dirname(__file__)
    )
    assert "the state is saved in" in found.stdout and found.stdout.endswith("True\n"), found
    assert os.path.exists(os.path.join(place, "checkpoints", "state.safetensors"))
    assert gaat.Run(place).status == "interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
