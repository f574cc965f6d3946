"""Golden values of the networks of gaat, from independent PyTorch definitions.

Each definition below follows the public one named at its head (same state-dict names, same computation) and was
written for this file. Parameters and images come from an integer hash that the Rust tests repeat bit for bit.

Usage: python reference/models.py [NAME...]   (writes crates/gaat/tests/golden/models.json, or in it the networks of these names
alone; needs torch and torchvision)
"""

import json
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

from deepmind import DeepMindPreActResNet18, DeepMindWideResNet
from vision import efficientnet_b0, vision

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "crates/gaat/tests/golden/models.json"
IMAGES = 4
SAMPLES = 32
EPSILON, STEP_SIZE, STEPS = 8 / 255, 2 / 255, 5
CIFAR_MEAN, CIFAR_STD = [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]


# The hash ----------------------------------------------------------------------------------------------------------


def fnv1a(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def uniform(name, shape):
    """Numbers in [0,1) that are whole multiples of 2^-24: the murmur3 finaliser of name and place."""
    count = math.prod(shape)
    mask = 0xFFFFFFFF
    x = (fnv1a(name) + torch.arange(count, dtype=torch.int64) * 0x9E3779B9) & mask
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & mask
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & mask
    x = x ^ (x >> 16)
    return ((x >> 8).double() / 2.0**24).reshape(shape)


def fill(model):
    """Sets parameters and buffers; rounded to single precision so that both precisions start equal."""
    tensors = model.state_dict()
    norms = {name.removesuffix(".weight") for name, tensor in tensors.items() if name.endswith(".weight") and tensor.dim() == 1}
    for name, tensor in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        layer, _, suffix = name.rpartition(".")
        signed = 2.0 * uniform(name, tensor.shape) - 1.0
        if layer in norms:
            value = {
                "weight": 1.0 + 0.1 * signed,
                "bias": 0.1 * signed,
                "running_mean": 0.1 * signed,
                "running_var": 1.0 + 0.3 * signed,
            }[suffix]
        elif suffix == "weight":
            # Between them these keep activations and logits near 1 in all networks. Depthwise convolutions stand among
            # SiLUs and gates that make activations smaller.
            is_depthwise = tensor.dim() == 4 and tensor.shape[1] == 1 and tensor.shape[0] >= 32
            gain = 6.0 if is_depthwise else 2.0 if tensor.dim() == 4 else 1.75
            value = signed * (gain / math.sqrt(math.prod(tensor.shape[1:])))
        else:
            value = 0.1 * signed
        tensor.copy_(value.float())


# The networks ------------------------------------------------------------------------------------------------------


def convnet(shape, classes):
    """Wong et al. 2020, github.com/locuslab/fast_adversarial, MNIST."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (height // 4) * (width // 4), 100),
        nn.ReLU(),
        nn.Linear(100, classes),
    )


def mlp(shape, classes):
    hidden = 256
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


class Vgg16(nn.Module):
    """Configuration D with batch normalisation, github.com/kuangliu/pytorch-cifar."""

    def __init__(self, shape, classes):
        super().__init__()
        layers, inputs = [], shape[0]
        for width, repeats in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
            for _ in range(repeats):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                inputs = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(512, classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class PreActBlock(nn.Module):
    """github.com/locuslab/fast_adversarial: the shortcut convolution is fed the raw input; with `activated` what
    github.com/kuangliu/pytorch-cifar and RobustBench's PreActBlockV2 feed it, the input after bn1 and nonlinearity."""

    def __init__(self, inputs, outputs, stride, activated=False, act=F.relu):
        super().__init__()
        self.activated, self.act = activated, act
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
        else:
            self.shortcut = nn.Identity()

    def forward(self, x):
        active = self.act(self.bn1(x))
        y = self.conv2(self.act(self.bn2(self.conv1(active))))
        if isinstance(self.shortcut, nn.Identity):
            return y + x
        return y + self.shortcut(active if self.activated else x)


class PreActResNet18(nn.Module):
    """github.com/locuslab/fast_adversarial as it is today: a batch normalisation before the pooling. `bare` lacks it, as
    RobustBench's Wong2020Fast and Andriushchenko2020Understanding do."""

    def __init__(self, shape, classes, width=64, stem_stride=1, activated=False, bare=False, act=F.relu):
        super().__init__()
        self.act = act
        self.conv1 = nn.Conv2d(shape[0], width, 3, stem_stride, 1, bias=False)
        inputs = width
        for stage in range(4):
            outputs = width * 2**stage
            first = PreActBlock(inputs, outputs, 1 if stage == 0 else 2, activated, act)
            second = PreActBlock(outputs, outputs, 1, activated, act)
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, second))
            inputs = outputs
        if not bare:
            self.bn = nn.BatchNorm2d(inputs)
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.conv1(x)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        if hasattr(self, "bn"):
            x = self.act(self.bn(x))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


class BasicBlock(nn.Module):
    """github.com/kuangliu/pytorch-cifar: He et al. 2015, the shortcut with a normalisation of its own."""

    def __init__(self, inputs, outputs, stride, act=F.relu):
        super().__init__()
        self.act = act
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.act(self.bn1(self.conv1(x)))
        return self.act(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
    """github.com/kuangliu/pytorch-cifar: a stem of 3x3, no pooling before the end."""

    def __init__(self, shape, classes, width=64, stem_stride=1, act=F.relu):
        super().__init__()
        self.act = act
        self.conv1 = nn.Conv2d(shape[0], width, 3, stem_stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for stage in range(4):
            outputs = width * 2**stage
            first = BasicBlock(inputs, outputs, 1 if stage == 0 else 2, act)
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, BasicBlock(outputs, outputs, 1, act)))
            inputs = outputs
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.act(self.bn1(self.conv1(x)))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


class WideBlock(nn.Module):
    """github.com/yaodongyu/TRADES: where widths differ, the shortcut convolution is fed the activated input."""

    def __init__(self, inputs, outputs, stride, act=F.relu):
        super().__init__()
        self.act = act
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.convShortcut = None
        if inputs != outputs:
            self.convShortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        active = self.act(self.bn1(x))
        y = self.conv2(self.act(self.bn2(self.conv1(active))))
        return y + (x if self.convShortcut is None else self.convShortcut(active))


class WideStage(nn.Module):
    def __init__(self, count, inputs, outputs, stride, act=F.relu):
        super().__init__()
        blocks = [WideBlock(inputs, outputs, stride, act)]
        blocks += [WideBlock(outputs, outputs, 1, act) for _ in range(count - 1)]
        self.layer = nn.Sequential(*blocks)

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    """github.com/yaodongyu/TRADES without dropout and without the unused sub_block1 (as RobustBench)."""

    def __init__(self, shape, classes, depth, widening, act=F.relu):
        super().__init__()
        self.act = act
        count = (depth - 4) // 6
        w1, w2, w3 = (16 * widening * factor for factor in (1, 2, 4))
        self.conv1 = nn.Conv2d(shape[0], 16, 3, 1, 1, bias=False)
        self.block1 = WideStage(count, 16, w1, 1, act)
        self.block2 = WideStage(count, w1, w2, 2, act)
        self.block3 = WideStage(count, w2, w3, 2, act)
        self.bn1 = nn.BatchNorm2d(w3)
        self.fc = nn.Linear(w3, classes)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(self.act(self.bn1(x)).mean((2, 3)))


def swish(x):
    return x * torch.sigmoid(x)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        count, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(count, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(count, tokens, width))


class Perceptron(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class TransformerBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Perceptron(width, 4 * width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, channels, width, patch):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class VitTiny(nn.Module):
    """timm's VisionTransformer(img_size=32, patch_size=4, embed_dim=192, depth=12, num_heads=3)."""

    def __init__(self, shape, classes, width=192, depth=12, heads=3, patch=4):
        super().__init__()
        patches = (shape[1] // patch) * (shape[2] // patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, width))
        self.patch_embed = PatchEmbed(shape[0], width, patch)
        self.blocks = nn.Sequential(*[TransformerBlock(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


# The values --------------------------------------------------------------------------------------------------------

CASES = [
    ("convnet", convnet, (1, 28, 28), 10, None),
    ("convnet", convnet, (1, 8, 8), 10, None),
    ("mlp", mlp, (1, 28, 28), 10, None),
    ("vgg-16", Vgg16, (3, 32, 32), 10, (CIFAR_MEAN, CIFAR_STD)),
    ("preact-resnet-18", PreActResNet18, (3, 32, 32), 10, None),
    ("preact-resnet-18-w8-s2", lambda s, c: PreActResNet18(s, c, 8, 2), (3, 32, 32), 10, (CIFAR_MEAN, CIFAR_STD)),
    ("preact-resnet-18-w16", lambda s, c: PreActResNet18(s, c, 16), (3, 32, 32), 10, (CIFAR_MEAN, CIFAR_STD)),
    ("resnet-18-w8-s2", lambda s, c: ResNet18(s, c, 8, 2), (3, 32, 32), 10, (CIFAR_MEAN, CIFAR_STD)),
    ("resnet-18-w16", lambda s, c: ResNet18(s, c, 16), (3, 32, 32), 10, None),
    ("wide-resnet-10-1", lambda s, c: WideResNet(s, c, 10, 1), (1, 8, 8), 10, None),
    ("wide-resnet-16-2", lambda s, c: WideResNet(s, c, 16, 2), (3, 32, 32), 7, (CIFAR_MEAN, CIFAR_STD)),
    ("wide-resnet-28-4", lambda s, c: WideResNet(s, c, 28, 4), (3, 32, 32), 10, None),
    ("preact-resnet-18-w4-activated-shortcut", lambda s, c: PreActResNet18(s, c, 4, activated=True), (3, 32, 32), 10, None),
    ("preact-resnet-18-w4-no-final-norm", lambda s, c: PreActResNet18(s, c, 4, bare=True), (3, 32, 32), 10, None),
    (
        "preact-resnet-18-w4-s2-activated-shortcut-no-final-norm-swish",
        lambda s, c: PreActResNet18(s, c, 4, 2, activated=True, bare=True, act=swish),
        (3, 32, 32),
        10,
        (CIFAR_MEAN, CIFAR_STD),
    ),
    ("resnet-18-w4-swish", lambda s, c: ResNet18(s, c, 4, act=swish), (1, 16, 16), 10, None),
    ("wide-resnet-10-1-swish", lambda s, c: WideResNet(s, c, 10, 1, swish), (1, 8, 8), 10, None),
    ("dm-wide-resnet-16-1", lambda s, c: DeepMindWideResNet(s, c, 16, 1), (3, 32, 32), 10, None),
    (
        "dm-wide-resnet-10-2-swish",
        lambda s, c: DeepMindWideResNet(s, c, 10, 2, swish),
        (3, 32, 32),
        10,
        (CIFAR_MEAN, CIFAR_STD),
    ),
    ("dm-preact-resnet-18-w4", lambda s, c: DeepMindPreActResNet18(s, c, 4), (1, 28, 28), 10, None),
    (
        "dm-preact-resnet-18-w4-swish",
        lambda s, c: DeepMindPreActResNet18(s, c, 4, swish),
        (3, 32, 32),
        10,
        (CIFAR_MEAN, CIFAR_STD),
    ),
    ("efficientnet-b0", efficientnet_b0, (3, 32, 32), 10, None),
    ("imagenet-resnet-18", lambda s, c: vision("resnet18", c), (3, 64, 96), 10, None),
    ("imagenet-resnet-50", lambda s, c: vision("resnet50", c), (3, 64, 64), 10, (CIFAR_MEAN, CIFAR_STD)),
    ("vit-tiny", VitTiny, (3, 32, 32), 10, (CIFAR_MEAN, CIFAR_STD)),
]


def sampled(tensor):
    flat = tensor.flatten()
    places = [(j * 2654435761) % flat.numel() for j in range(SAMPLES)]
    return [[place, flat[place].item()] for place in places]


def differentiated(forward, images, labels):
    """Logits, summed loss and input gradient."""
    pixels = images.clone().requires_grad_()
    logits = forward(pixels)
    loss = F.cross_entropy(logits, labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, pixels, retain_graph=True)
    return logits, loss, gradient


def described(model, logits, loss, gradient):
    parameters = torch.autograd.grad(loss, list(model.parameters()))
    return {
        "logits": logits.tolist(),
        "loss": loss.item(),
        "gradient": {
            "l1": gradient.abs().sum().item(),
            "l2": gradient.norm().item(),
            "samples": sampled(gradient),
        },
        "parameter_gradient_l2": [parameter.norm().item() for parameter in parameters],
    }


def pgd(forward, images, labels):
    """Projected sign steps from the clean images; torch.sign(0) is 0."""
    perturbed = images
    for _ in range(STEPS):
        _, _, gradient = differentiated(forward, perturbed, labels)
        moved = perturbed + STEP_SIZE * gradient.sign()
        delta = (moved - images).clamp(-EPSILON, EPSILON)
        perturbed = (images + delta).clamp(0, 1)
    logits, loss, _ = differentiated(forward, perturbed, labels)
    return {"loss": loss.item(), "logits": logits.tolist(), "samples": sampled(perturbed)}


def measured(name, definition, shape, classes, normalization):
    model = definition(shape, classes)
    fill(model)
    model.double()
    images = uniform("images", (IMAGES, *shape))
    labels = torch.tensor([(3 * index + 1) % classes for index in range(IMAGES)])
    mean, std = normalization or ([0.0] * shape[0], [1.0] * shape[0])
    scaling = [torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1, 1) for values in (mean, std)]

    def forward(pixels):
        return model((pixels - scaling[0]) / scaling[1])

    def buffer_sum(suffix):
        return sum(t.sum().item() for n, t in model.state_dict().items() if n.endswith(suffix))

    state = {n: t for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")}
    result = {
        "model": name,
        "input": list(shape),
        "classes": classes,
        "mean": mean,
        "std": std,
        "labels": labels.tolist(),
        "state": [[n, list(t.shape)] for n, t in state.items()],
    }
    model.eval()
    result["eval"] = described(model, *differentiated(forward, images, labels))
    result["pgd"] = pgd(forward, images, labels)
    model.train()
    result["train"] = described(model, *differentiated(forward, images, labels))
    result["running_mean_sum"] = buffer_sum("running_mean")
    result["running_var_sum"] = buffer_sum("running_var")
    return result


def main():
    torch.manual_seed(0)
    document = {
        "torch": torch.__version__.split("+")[0],
        "epsilon": EPSILON,
        "step_size": STEP_SIZE,
        "steps": STEPS,
        "cases": [],
    }
    wanted = sys.argv[1:]
    known = json.loads(OUTPUT.read_text())["cases"] if wanted else []
    for case in CASES:
        if wanted and case[0] not in wanted:
            same = lambda old: (old["model"], tuple(old["input"])) == (case[0], case[2])
            document["cases"] += [old for old in known if same(old)]
            continue
        document["cases"].append(measured(*case))
        print(case[0], case[2], document["cases"][-1]["eval"]["loss"], document["cases"][-1]["pgd"]["loss"])
    lines = ",\n".join(json.dumps(case) for case in document.pop("cases"))
    header = json.dumps(document)[:-1]
    OUTPUT.write_text(f'{header}, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
