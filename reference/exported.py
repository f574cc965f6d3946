"""Networks of torch.export for the tests: small forms of public architectures, and what PyTorch computes with them.

    python reference/exported.py crates/gaat/tests/golden/exported [NAME ...]

Made with torch 2.11.0, torchvision 0.26.0, timm 1.0.31. Of each network NAME.pt2 as torch.export.save writes it, without the
stack traces and the sample inputs, which carry paths and a pickle. NAME.safetensors holds pixels, labels,
a direction, and for both modes logits, gradient in the pixels, a Hessian-vector product, and digests of the gradients in the
weights and of the running statistics.
"""
import io
import json
import math
import sys
import warnings
import zipfile
from functools import partial
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
import torchvision.models as vision
from safetensors.torch import save_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

warnings.filterwarnings("ignore")
BATCH, SIDE, CLASSES = 3, 32, 10
MASK = (1 << 64) - 1


class Hand(nn.Module):
    """As people write them: batch normalisation, dropout, a view, a mean that travels along, a part without gradient."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.49, 0.48, 0.45]).view(1, 3, 1, 1))
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.bn2 = nn.BatchNorm2d(12)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(0.3)
        self.fc1 = nn.Linear(12 * 8 * 8, 16)
        self.fc2 = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1((x - self.mean) / 0.25)))
        with torch.no_grad():
            scale = x.abs().amax(dim=(1, 2, 3), keepdim=True)
        x = self.pool(F.relu(self.bn2(self.conv2(x / (scale + 1)))))
        x = x.view(x.size(0), -1)
        return self.fc2(self.drop(F.relu(self.fc1(x))))


class Tied(nn.Module):
    """One weight under two names, a frozen layer, and a table that no state dict holds."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3 * SIDE, 24)
        self.second = nn.Linear(24, 24, bias=False)
        self.third = nn.Linear(24, 24, bias=False)
        self.third.weight = self.second.weight
        self.last = nn.Linear(24, CLASSES)
        self.first.weight.requires_grad_(False)
        self.register_buffer("table", torch.linspace(0.5, 1.5, 24), persistent=False)

    def forward(self, x):
        x = self.first(x.mean(2).flatten(1)).tanh()
        return self.last(self.third(self.second(x).tanh() * self.table).tanh())


class Noisy(nn.Module):
    """Which trains with noise that no graph of the training mode can take back."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * SIDE * SIDE, CLASSES)

    def forward(self, x):
        if self.training:
            x = x + 0.1 * torch.randn_like(x)
        return self.fc(x.flatten(1))


class Indexed(nn.Module):
    """Indices of every kind: by a mask, which says only then how many there are, by order, by another tensor."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.table = nn.Parameter(torch.randn(5, 8))
        self.fc = nn.Linear(8, CLASSES)
        self.register_buffer("mask", torch.arange(64).reshape(8, 8) % 3 > 0)
        self.register_buffer("rows", torch.arange(7) % 5)

    def forward(self, x):
        x = self.conv(x).tanh()
        seen = x[:, :, self.mask].mean(-1)
        x = x.clone()
        x[:, :, ~self.mask & self.mask.flip(0)] = 0.5
        row, column = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
        x = x * (row + column).to(x).sqrt()
        tokens = x.repeat_interleave(2, dim=2).flatten(2)
        order = tokens.detach().mean(1).argsort(1)[:, :16]
        tokens = tokens.gather(2, order[:, None].expand(-1, 8, -1))
        return self.fc(seen + tokens.mean(-1) * self.table[self.rows].mean(0))


class Grey(nn.Module):
    """For the digits of 8x8 pixels, with or without noise in training."""

    def __init__(self, noise=0.0):
        super().__init__()
        self.noise = noise
        self.conv = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.1)
        self.fc = nn.Linear(8 * 4 * 4, CLASSES)

    def forward(self, x):
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        return self.fc(self.drop(F.relu(self.bn(self.conv(x))).flatten(1)))


class NarrowResNet(vision.resnet.ResNet):
    """torchvision's, with an eighth of its channels behind the first convolution."""

    def __init__(self):
        super().__init__(vision.resnet.BasicBlock, [2, 2, 2, 2])
        self.fc = nn.Linear(64, CLASSES)

    def _make_layer(self, block, planes, *rest, **named):
        return super()._make_layer(block, planes // 8, *rest, **named)


def mobilenet():
    settings, last = vision.mobilenetv3._mobilenet_v3_conf("mobilenet_v3_small", width_mult=0.25)
    return vision.MobileNetV3(settings, last // 16, num_classes=CLASSES)


def efficientnet():
    settings, last = vision.efficientnet._efficientnet_conf("efficientnet_b0", width_mult=0.25, depth_mult=0.5)
    return vision.EfficientNet(settings, dropout=0.2, last_channel=64, num_classes=CLASSES)


def convnext():
    block = vision.convnext.CNBlockConfig
    blocks = [block(8, 16, 1), block(16, 24, 1), block(24, 32, 2), block(32, None, 1)]
    return vision.ConvNeXt(blocks, stochastic_depth_prob=0.3, num_classes=CLASSES)


NETWORKS = {
    "hand": Hand,
    "tied": Tied,
    "noisy": Noisy,
    "indexed": Indexed,
    "grey": Grey,
    "grey-noisy": partial(Grey, 0.1),
    "resnet18": NarrowResNet,
    "mobilenet_v3_small": mobilenet,
    "efficientnet_b0": efficientnet,
    "densenet121": partial(vision.DenseNet, 4, (2, 3, 3, 2), 8, bn_size=2, drop_rate=0.1, num_classes=CLASSES),
    "convnext_tiny": convnext,
    "vit_b_16": partial(vision.VisionTransformer, SIDE, 8, 2, 2, 32, 64, dropout=0.1, attention_dropout=0.0,
                        num_classes=CLASSES),
    "swin_t": partial(vision.SwinTransformer, [2, 2], 8, [2, 2], [1, 2], [4, 4], stochastic_depth_prob=0.3,
                      num_classes=CLASSES),
    "timm_resnet18": partial(timm.models.resnet.ResNet, timm.models.resnet.BasicBlock, (2, 1, 1, 2),
                             channels=(8, 12, 16, 24), drop_path_rate=0.3, num_classes=CLASSES),
}

# The convolutional ones but `hand`, whose `view` PyTorch itself cannot do in this order.
CHANNELS_LAST = (vision.resnet.ResNet, vision.MobileNetV3, vision.EfficientNet, vision.DenseNet, vision.ConvNeXt, timm.models.resnet.ResNet)


@torch.no_grad()
def build(name):
    """The network with numbers of its own: some architectures begin with a head of zeros, for which nothing could be told."""
    torch.manual_seed(0)
    net = NETWORKS[name]()
    torch.manual_seed(0)
    for parameter in dict.fromkeys(net.parameters()):
        if parameter.dim() > 1:
            parameter.copy_(torch.randn(parameter.shape) * (1.4 / max(1, parameter[0].numel()) ** 0.5))
        else:
            parameter.copy_(torch.randn(parameter.shape) * 0.1 + (parameter.mean() > 0.5))
    for key, buffer in net.named_buffers():
        if key.endswith("running_mean"):
            buffer.copy_(torch.randn(buffer.shape) * 0.1)
        if key.endswith("running_var"):
            buffer.copy_(torch.rand(buffer.shape) + 0.5)
    return net


def mix(value):
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def seed_of_first_pass():
    """What gaat seeds libtorch with for the first pass of step 0 under the root seed 0."""
    stream = 0xCBF29CE484222325
    for byte in b"network":
        stream = ((stream ^ byte) * 0x100000001B3) & MASK
    return mix(mix(mix(mix(0) ^ stream)))


def digest(tensor):
    """Length, and the product with cosines: two numbers that no permutation and no scaling leaves as they are."""
    flat = tensor.detach().double().flatten()
    return [flat.norm().item(), (flat * torch.cos(torch.arange(flat.numel()).double())).sum().item()]


def numbers(net):
    torch.manual_seed(1)
    # gaat brings the images of a convolutional network into this order; dropout draws in that of memory, and sums follow it.
    order = torch.channels_last if isinstance(net, CHANNELS_LAST) else torch.contiguous_format
    x = (torch.randint(256, (BATCH, 3, SIDE, SIDE)) / 255).contiguous(memory_format=order).requires_grad_()
    y, v = torch.randint(CLASSES, (BATCH,)), torch.randn(BATCH, 3, SIDE, SIDE)
    out = {"x": x.detach(), "y": y, "v": v}
    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    names = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]

    def gradients(loss, **options):
        found = torch.autograd.grad(loss, [x, *parameters], allow_unused=True, **options)
        return [zero if one is None else one for one, zero in zip(found, map(torch.zeros_like, [x, *parameters]))]

    for mode in ("train", "eval"):
        net.load_state_dict(state)
        net.train(mode == "train")
        torch.manual_seed(seed_of_first_pass())
        with sdpa_kernel(SDPBackend.MATH):
            logits = net(x)
            grad_x, *grads = gradients(F.cross_entropy(logits, y, reduction="sum"))
        out[f"{mode}/logits"], out[f"{mode}/grad_x"] = logits.detach(), grad_x
        out.update({f"{mode}/grad/{n}": torch.tensor(digest(g), dtype=torch.double) for n, g in zip(names, grads)})
        if mode == "train":
            out.update({f"buffer/{n}": torch.tensor(digest(b), dtype=torch.double) for n, b in net.named_buffers()})
        net.load_state_dict(state)
        torch.manual_seed(seed_of_first_pass())
        try:
            with sdpa_kernel(SDPBackend.MATH):
                grad_x, *_ = gradients(F.cross_entropy(net(x), y, reduction="sum"), create_graph=True)
                second_x, *seconds = gradients((grad_x * v).sum())
        except RuntimeError as error:  # no second derivative in PyTorch itself: hardsigmoid, hardswish
            print(f"  {mode}: no second order: {str(error).splitlines()[0]}")
            continue
        out[f"{mode}/second_x"] = torch.tensor(digest(second_x), dtype=torch.double)
        out.update({f"{mode}/second/{n}": torch.tensor(digest(g), dtype=torch.double) for n, g in zip(names, seconds)})
    net.load_state_dict(state)
    return out


def export(net, batch=BATCH, is_fixed=False):
    name = "input" if isinstance(net, vision.VisionTransformer) else "x"
    shapes = None if is_fixed else ({0: torch.export.Dim("n", min=2)},)
    image = (1, 8, 8) if isinstance(net, Grey) else (3, SIDE, SIDE)
    return torch.export.export(net, (torch.rand(batch, *image),), dynamic_shapes=shapes)


def saved(program):
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def strip(graph):
    """Leaves the nodes of a graph, and of those within it, the layers that they come from alone."""
    for node in graph["nodes"]:
        node["metadata"] = {k: v for k, v in node["metadata"].items() if k == "nn_module_stack"}
        for given in node["inputs"]:
            if "as_graph" in given["arg"]:
                strip(given["arg"]["as_graph"]["graph"])


def stripped(content):
    """Without what only its maker needs."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            member = old.read(name)
            if "/sample_inputs/" in name:
                member = b""
            if "/models/" in name:
                program = json.loads(member)
                strip(program["graph_module"]["graph"])
                member = json.dumps(program, separators=(",", ":")).encode()
            new.writestr(zipfile.ZipInfo(name), member)
    return out.getvalue()


def main(folder, names):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or NETWORKS:
        net = build(name)
        out = numbers(net) if name not in ("noisy", "grey", "grey-noisy") else {}
        content = saved(export(net.train()))
        (folder / f"{name}.pt2").write_bytes(stripped(content))
        if out:
            save_file({key: tensor.contiguous() for key, tensor in out.items()}, folder / f"{name}.safetensors")
        if name == "hand":
            (folder / "hand-eval.pt2").write_bytes(stripped(saved(export(net.eval()))))
            (folder / "hand-fixed.pt2").write_bytes(stripped(saved(export(net.train(), batch=4, is_fixed=True))))
        if name == "grey-noisy":
            (folder / "grey-noisy-eval.pt2").write_bytes(stripped(saved(export(net.eval()))))
        if name == "noisy":
            from torch.export.pt2_archive._package import package_pt2

            programs = {mode: export(net.train(mode == "train")) for mode in ("train", "eval")}
            pair = folder / "noisy-pair.pt2"
            package_pt2(str(pair), exported_programs=programs)
            pair.write_bytes(stripped(pair.read_bytes()))
            (folder / "noisy-eval.pt2").write_bytes(stripped(saved(export(net.eval()))))
        print(name, sum(p.numel() for p in net.parameters()), "parameters", (folder / f"{name}.pt2").stat().st_size, "bytes",
              flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
