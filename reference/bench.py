"""PyTorch's side of `cargo xtask bench`: one work in this process, its seconds as one line of JSON.

Four styles of PyTorch. `torch-best` is PyTorch as well as we can write it: channels last, the faster of fp32 and bf16 autocast, gradients
of the pixels alone in the attack, a fused optimiser, data gathered from one tensor. `torch-as-written` is the loop
that most adversarial-training scripts have: default layout, fp32, `loss.backward()` in the attack (which also computes weight
gradients), a DataLoader. On a GPU there are two more: `torch-compiled`, the best through `torch.compile`, and
`torch-cuda-graphs`, the best with its passes recorded as CUDA graphs by hand. `gaat-python` is the package gaat on the same module.

Usage: python reference/bench.py --style torch-best --work step/vgg-16/natural --threads 2
       python reference/bench.py --export FOLDER --work exported/small/8
"""

import argparse
import contextlib
import json
import resource
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import models

STYLES = ["torch-best", "torch-compiled", "torch-cuda-graphs", "torch-as-written", "gaat-python"]
EPSILON, STEP_SIZE, ATTACK_STEPS = 8 / 255, 2 / 255, 10
BATCH, EXPORTED_BATCH, PADDING = 128, 64, 4
# Images and batch size of an epoch: in grey as they are, in colour cropped and flipped.
EPOCHS = {1: (60_000, 100), 3: (2_000, 128)}
JUDGED, JUDGE_BATCH, JUDGE_STEPS, HARMLESS = 1_000, 500, 50, 1e-6
STEPS, LONG_ENOUGH = 2, 3.0
# Steps between two looks at the clock on a GPU, which lags behind the program; as many warm it up.
GROUP = 10


class Normalized(nn.Module):
    """A network on pixels in [0, 1]."""

    def __init__(self, network, channels):
        super().__init__()
        self.network = network
        mean, std = (models.CIFAR_MEAN, models.CIFAR_STD) if channels == 3 else ([0.0], [1.0])
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1))

    def forward(self, pixels):
        return self.network((pixels - self.mean) / self.std)


def shape_of(name):
    return (1, 28, 28) if name == "convnet" else (3, 32, 32)


class ImageNetResNet18(models.ResNet18):
    """torchvision's: a stem of 7x7 and stride 2, and a pooling."""

    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.conv1 = nn.Conv2d(shape[0], 64, 7, 2, 3, bias=False)
        self.pool = nn.MaxPool2d(3, 2, 1)

    def forward(self, x):
        x = self.pool(self.act(self.bn1(self.conv1(x))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


def small():
    """Fifteen nodes, with those that count the batches of the normalisations, each of little work."""
    convolutions = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    convolutions += [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(2048, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10))


def built(name):
    if name == "small":
        return small()
    shape = shape_of(name)
    if name.startswith("wide-resnet-"):
        depth, widening = map(int, name.removeprefix("wide-resnet-").split("-"))
        network = models.WideResNet(shape, 10, depth, widening)
    elif name.startswith("resnet-18"):
        network = models.ResNet18(shape, 10, int(name.removeprefix("resnet-18").removeprefix("-w") or 64))
    elif name == "imagenet-resnet-18":
        network = ImageNetResNet18(shape, 10)
    elif name.startswith("preact-resnet-18"):
        width, stride = 64, 1
        for word in name.removeprefix("preact-resnet-18").split("-")[1:]:
            if word[0] == "w":
                width = int(word[1:])
            else:
                stride = int(word[1:])
        network = models.PreActResNet18(shape, 10, width, stride)
    else:
        network = {"convnet": models.convnet, "vgg-16": models.Vgg16}[name](shape, 10)
    return Normalized(network, shape[0])


class Style:
    """How the loop is written."""

    def __init__(self, name, network, shape, device, is_fp32=False):
        self.is_best = name != "torch-as-written"
        self.has_graphs = name == "torch-cuda-graphs"
        self.graphs = {}
        self.is_bf16 = False
        self.device = torch.device(device)
        network = network.to(self.device)
        self.network = network.to(memory_format=torch.channels_last) if self.is_best else network
        torch.backends.cudnn.benchmark = self.is_best
        if name == "torch-compiled":
            self.network = torch.compile(self.network)
        if self.is_best and not is_fp32:
            self.is_bf16 = self.faster_in_bf16(shape)

    def faster_in_bf16(self, shape):
        """Whether the best of some training passes is shorter in bf16 autocast."""
        if self.device.type == "cuda":
            # So small a batch would measure launches; a GPU with bf16 is the faster in it, but for the smallest network.
            is_small = sum(weight.numel() for weight in self.network.parameters()) < 500_000
            return torch.cuda.is_bf16_supported() and not is_small
        seconds = {}
        pixels, labels = self.laid_out(torch.rand(32, *shape)), torch.zeros(32, dtype=torch.long)
        for self.is_bf16 in (False, True):
            for _ in range(5):
                started = self.clock()
                self.loss(pixels, labels).backward()
                took = self.clock() - started
                seconds[self.is_bf16] = min(took, seconds.get(self.is_bf16, took))
        self.network.zero_grad(set_to_none=True)
        return seconds[True] < seconds[False]

    def clock(self):
        """Seconds, once the device has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def laid_out(self, pixels):
        return pixels.contiguous(memory_format=torch.channels_last) if self.is_best else pixels

    def loss(self, pixels, labels):
        context = torch.autocast(self.device.type, torch.bfloat16) if self.is_bf16 else contextlib.nullcontext()
        with context:
            logits = self.network(pixels)
        return F.cross_entropy(logits.float(), labels)

    def optimizer(self, kind):
        if kind == "adam":
            return torch.optim.Adam(self.network.parameters(), lr=1e-3, fused=self.is_best)
        return torch.optim.SGD(
            self.network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=self.is_best
        )

    def recorded(self, work, *inputs):
        """What `work` makes of tensors, recorded as a CUDA graph at its first time for these shapes and then replayed."""
        key = (work, *(tensor.shape for tensor in inputs))
        if key not in self.graphs:
            places = [tensor.clone() for tensor in inputs]
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    work(*places)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                result = work(*places)
            self.graphs[key] = graph, places, result
        graph, places, result = self.graphs[key]
        for place, tensor in zip(places, inputs):
            place.copy_(tensor)
        graph.replay()
        return result

    def gradient(self, perturbed, labels):
        return self.recorded(self.plain_gradient, perturbed, labels) if self.has_graphs else self.plain_gradient(perturbed, labels)

    def descend(self, pixels, labels):
        """The loss, and its gradients in the weights."""
        for weight in self.network.parameters():
            weight.grad = None
        loss = self.loss(pixels, labels)
        loss.backward()
        return loss.detach()

    def plain_gradient(self, perturbed, labels):
        perturbed = perturbed.detach().requires_grad_()
        loss = self.loss(perturbed, labels)
        if self.is_best:
            return torch.autograd.grad(loss, perturbed)[0]
        loss.backward()
        return perturbed.grad

    def attack(self, pixels, labels, epsilon, step_size, steps):
        delta = torch.empty_like(pixels).uniform_(-epsilon, epsilon)
        perturbed = (pixels + delta).clamp(0, 1)
        for _ in range(steps):
            gradient = self.gradient(perturbed, labels)
            moved = perturbed.detach() + step_size * gradient.sign()
            perturbed = (pixels + (moved - pixels).clamp(-epsilon, epsilon)).clamp(0, 1)
        return perturbed.detach()

    def step(self, optimizer, pixels, labels, method, attack_steps=ATTACK_STEPS):
        pixels = self.laid_out(pixels)
        if method == "rat":
            pixels = self.attack(pixels, labels, EPSILON, STEP_SIZE, attack_steps)
        loss = self.recorded(self.descend, pixels, labels) if self.has_graphs else self.descend(pixels, labels)
        optimizer.step()
        # As usual loops do for their log; at its best a loop on a GPU does not wait for the loss.
        return loss if self.is_best and self.device.type == "cuda" else loss.item()

    def batches(self, images, labels, size):
        """Shuffled batches of u8 images as numbers in [0, 1]; those in colour cropped and flipped."""
        is_moved = images.shape[1] == 3
        if self.is_best:
            images, labels = images.to(self.device), labels.to(self.device)
            for places in torch.randperm(len(images), device=self.device).split(size):
                part = images[places]
                yield (moved_together(part) if is_moved else part).float().div_(255), labels[places]
            return
        data = Moved(images, labels) if is_moved else torch.utils.data.TensorDataset(images.float() / 255, labels)
        for pixels, targets in torch.utils.data.DataLoader(data, batch_size=size, shuffle=True):
            yield pixels.to(self.device), targets.to(self.device)


class Moved(torch.utils.data.Dataset):
    """Images cropped and flipped one by one, as transforms do."""

    def __init__(self, images, labels):
        self.images, self.labels = images.float() / 255, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, place):
        side = self.images.shape[-1]
        padded = F.pad(self.images[place], (PADDING,) * 4)
        row, column = torch.randint(2 * PADDING + 1, (2,)).tolist()
        image = padded[:, row : row + side, column : column + side]
        return image.flip(-1) if torch.rand(()) < 0.5 else image, self.labels[place]


def moved_together(images):
    """A batch cropped and flipped by one gather."""
    count, channels, side, _ = images.shape
    padded = F.pad(images, (PADDING,) * 4)
    on = {"device": images.device}
    rows = torch.randint(2 * PADDING + 1, (count, 1), **on) + torch.arange(side, **on)
    columns = torch.randint(2 * PADDING + 1, (count, 1), **on) + torch.arange(side, **on)
    columns = torch.where(torch.rand(count, 1, **on) < 0.5, columns.flip(1), columns)
    places = torch.arange(count, **on)[:, None, None]
    return padded.permute(0, 2, 3, 1)[places, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def random_images(count, shape):
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8)
    return images, torch.arange(count) % 10


def steps(style, name, method, batch, attack_steps):
    images, labels = random_images(batch, shape_of(name))
    pixels, labels = (images.float() / 255).to(style.device), labels.to(style.device)
    optimizer = style.optimizer("adam" if name == "convnet" else "sgd")
    group = 1 if style.device.type == "cpu" else GROUP
    for _ in range(group):
        style.step(optimizer, pixels, labels, method, attack_steps)
    seconds = []
    while len(seconds) < STEPS or sum(seconds) * group < LONG_ENOUGH:
        started = style.clock()
        for _ in range(group):
            style.step(optimizer, pixels, labels, method, attack_steps)
        seconds.append((style.clock() - started) / group)
    return seconds


def steps_of_gaat(name, method, device):
    """Steps of `gaat.train` on the module, one by one, without the first and those after an epoch."""
    import gaat

    images, labels = random_images(EPOCHS[3][0], shape_of(name))
    seconds, last = [], None

    def clock(told):
        nonlocal last
        if told["event"] == "step":
            now = time.perf_counter()
            if last is not None:
                seconds.append(now - last)
            last = now
        elif told["event"] == "epoch":
            last = None
        return len(seconds) < STEPS or sum(seconds) < LONG_ENOUGH

    attack = {} if method == "natural" else {"steps": ATTACK_STEPS}
    if method == "rat":
        attack["step_size"] = STEP_SIZE
    network = built(name).train().to(device)
    given = {"eps": EPSILON, "epochs": 1000, "batch_size": BATCH, "validation": 0.0, **attack}
    gaat.train(network, (images, labels), method=method, on_event=clock, **given)
    return seconds


def epoch(style, name, method):
    shape = shape_of(name)
    count, batch = EPOCHS[shape[0]]
    images, labels = random_images(count, shape)
    optimizer = style.optimizer("adam" if name == "convnet" else "sgd")
    started = style.clock()
    for pixels, targets in style.batches(images, labels, batch):
        style.step(optimizer, pixels, targets, method)
    return [style.clock() - started]


def evaluation(style, name):
    style.network.eval()
    if style.is_best:
        for weight in style.network.parameters():
            weight.requires_grad_(False)
    images, _ = random_images(JUDGED, shape_of(name))
    with torch.no_grad():
        pixels = style.laid_out((images.float() / 255).to(style.device))
        labels = style.network(pixels).argmax(1)
    started = style.clock()
    for part, targets in zip(pixels.split(JUDGE_BATCH), labels.split(JUDGE_BATCH)):
        perturbed = style.attack(part, targets, HARMLESS, 2.5 * HARMLESS / JUDGE_STEPS, JUDGE_STEPS)
        with torch.no_grad():
            right = (style.network(perturbed).argmax(1) == targets).float().mean().item()
        assert right > 0.99, "a harmless epsilon fooled the network"
    return [style.clock() - started]


def passes(style, name, batch):
    """One forward and one backward pass to the weights."""
    images, labels = random_images(batch, shape_of(name))
    pixels, labels = style.laid_out((images.float() / 255).to(style.device)), labels.to(style.device)
    for _ in range(3):
        style.descend(pixels, labels)
    seconds = []
    while len(seconds) < STEPS or sum(seconds) < LONG_ENOUGH:
        started = style.clock()
        style.recorded(style.descend, pixels, labels) if style.has_graphs else style.descend(pixels, labels)
        seconds.append(style.clock() - started)
    return seconds


def export(folder, name):
    example = torch.rand(4, *shape_of(name))
    program = torch.export.export(built(name).train(), (example,), dynamic_shapes=({0: torch.export.Dim("n", min=2)},))
    torch.export.save(program, Path(folder) / f"{name}.pt2")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--style", choices=STYLES)
    parser.add_argument("--export", metavar="FOLDER", help="write the network of the work as NETWORK.pt2, measure nothing")
    parser.add_argument("--work", required=True)
    parser.add_argument("--threads", default=1, type=int)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    kind, name, *rest = arguments.work.split("/")
    if arguments.export:
        export(arguments.export, name)
        return
    if arguments.style is None:
        parser.error("--style or --export is needed")
    if arguments.style == "gaat-python":
        told(steps_of_gaat(name, rest[0], arguments.device), arguments.device, is_bf16=False)
        return
    is_exported = kind == "exported"
    is_fp32 = kind in ("exported", "python")
    style = Style(arguments.style, built(name).train(), shape_of(name), arguments.device, is_fp32)
    if kind == "python":
        seconds = steps(style, name, rest[0], BATCH, ATTACK_STEPS)
    elif kind == "step":
        batch, attack_steps, *_ = [*map(int, rest[1:]), *(BATCH, ATTACK_STEPS)[len(rest) - 1 :]]
        seconds = steps(style, name, rest[0], batch, attack_steps)
    elif kind == "epoch":
        seconds = epoch(style, name, rest[0])
    elif kind == "evaluate":
        seconds = evaluation(style, name)
    elif is_exported:
        seconds = passes(style, name, int(rest[0]) if rest else EXPORTED_BATCH)
    else:
        parser.error(f"work {arguments.work}: expected step, epoch, evaluate, exported or python")
    told(seconds, arguments.device, style.is_bf16)


def told(seconds, device, is_bf16):
    if torch.device(device).type == "cuda":
        peak = torch.cuda.max_memory_reserved(device) / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "precision": "bf16" if is_bf16 else "fp32"}))


if __name__ == "__main__":
    main()
