"""The networks of DeepMind's adversarial_robustness, written again for `models.py`: other names, and padding as in TensorFlow."""

import torch.nn.functional as F
from torch import nn


def same_pad(x, stride):
    """TensorFlow's SAME for kernels of 3 on even sides: one zero on each side, or at stride 2 below and to the right alone."""
    return F.pad(x, (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))


class DeepMindWideBlock(nn.Module):
    """Gowal et al. 2020, deepmind-research/adversarial_robustness: as WideBlock, under other names and padded as above."""

    def __init__(self, inputs, outputs, stride, act):
        super().__init__()
        self.stride, self.act = stride, act
        self.batchnorm_0 = nn.BatchNorm2d(inputs)
        self.conv_0 = nn.Conv2d(inputs, outputs, 3, stride, bias=False)
        self.batchnorm_1 = nn.BatchNorm2d(outputs)
        self.conv_1 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        active = self.act(self.batchnorm_0(x))
        y = self.act(self.batchnorm_1(self.conv_0(same_pad(active, self.stride))))
        return self.conv_1(y) + (self.shortcut(active) if hasattr(self, "shortcut") else x)


class DeepMindWideStage(nn.Module):
    def __init__(self, count, inputs, outputs, stride, act):
        super().__init__()
        blocks = [DeepMindWideBlock(inputs, outputs, stride, act)]
        blocks += [DeepMindWideBlock(outputs, outputs, 1, act) for _ in range(count - 1)]
        self.block = nn.Sequential(*blocks)

    def forward(self, x):
        return self.block(x)


class DeepMindWideResNet(nn.Module):
    """deepmind-research/adversarial_robustness and RobustBench's DMWideResNet, less the buffers mean and std."""

    def __init__(self, shape, classes, depth, widening, act=F.relu):
        super().__init__()
        self.act = act
        count = (depth - 4) // 6
        widths = [16] + [16 * widening * factor for factor in (1, 2, 4)]
        self.init_conv = nn.Conv2d(shape[0], 16, 3, 1, 1, bias=False)
        stages = [DeepMindWideStage(count, *widths[i : i + 2], 1 if i == 0 else 2, act) for i in range(3)]
        self.layer = nn.Sequential(*stages)
        self.batchnorm = nn.BatchNorm2d(widths[-1])
        self.logits = nn.Linear(widths[-1], classes)

    def forward(self, x):
        return self.logits(self.act(self.batchnorm(self.layer(self.init_conv(x)))).mean((2, 3)))


class DeepMindPreActBlock(nn.Module):
    """The same project: the shortcut is a convolution of 3x3 of the raw input."""

    def __init__(self, inputs, outputs, stride, act):
        super().__init__()
        self.stride, self.act = stride, act
        self.batchnorm_0 = nn.BatchNorm2d(inputs)
        self.conv_2d_1 = nn.Conv2d(inputs, outputs, 3, stride, bias=False)
        self.batchnorm_1 = nn.BatchNorm2d(outputs)
        self.conv_2d_2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 3, stride, bias=False)

    def forward(self, x):
        y = self.conv_2d_1(same_pad(self.act(self.batchnorm_0(x)), self.stride))
        y = self.conv_2d_2(self.act(self.batchnorm_1(y)))
        return y + (self.shortcut(same_pad(x, self.stride)) if hasattr(self, "shortcut") else x)


class DeepMindPreActResNet18(nn.Module):
    """deepmind-research/adversarial_robustness and RobustBench's DMPreActResNet, less the buffers mean and std."""

    def __init__(self, shape, classes, width=64, act=F.relu):
        super().__init__()
        self.act = act
        self.conv_2d = nn.Conv2d(shape[0], width, 3, 1, 1, bias=False)
        inputs = width
        for stage in range(4):
            outputs = width * 2**stage
            first = DeepMindPreActBlock(inputs, outputs, 1 if stage == 0 else 2, act)
            setattr(self, f"layer_{stage}", nn.Sequential(first, DeepMindPreActBlock(outputs, outputs, 1, act)))
            inputs = outputs
        self.batchnorm = nn.BatchNorm2d(inputs)
        self.logits = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.conv_2d(x)
        for layer in (self.layer_0, self.layer_1, self.layer_2, self.layer_3):
            x = layer(x)
        return self.logits(self.act(self.batchnorm(x)).mean((2, 3)))
