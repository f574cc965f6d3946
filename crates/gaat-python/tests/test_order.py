"""The memory order of images: channels last where that pays and the module takes it."""

import pytest
import torch
from torch import nn

import gaat
from nets import ResNet18, SmallNet


class Viewing(nn.Module):
    """Flattens by a view, which channels-last maps refuse."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 8 * 8, 10)

    def forward(self, x):
        maps = self.conv(x)
        return self.head(maps.view(len(maps), -1))


class ViewingInTraining(Viewing):
    """The same, in a branch that only training takes."""

    def forward(self, x):
        maps = self.conv(x)
        return self.head(maps.view(len(maps), -1) if self.training else maps.flatten(1))


def orders(net, channels, *, first, **words):
    """Whether channels lay innermost in the maps after the convolution ``first``, in the passes of an attack."""
    seen = []
    hook = first.register_forward_hook(lambda _module, _input, output: seen.append(output.stride(1) == 1))
    x, y = torch.rand(4, channels, 8, 8), torch.arange(4)
    model = gaat.Model(net, classes=10, **words)
    gaat.attacks.PGD(model, eps=0.1, steps=1)(x, y)
    seen.clear()
    gaat.attacks.PGD(model, eps=0.1, steps=3)(x, y)
    hook.remove()
    assert len(seen) == 3
    return set(seen)


@pytest.mark.parametrize("channels", [1, 3])
def test_convolutions_are_computed_channels_last_and_the_module_stays_as_it_is(channels):
    net = SmallNet(channels=channels)
    before = [tensor.stride() for tensor in net.state_dict().values()]
    assert orders(net, channels, first=net.stem[0]) == {True}
    assert orders(net, channels, first=net.stem[0], channels_last=False) == {False}
    assert [tensor.stride() for tensor in net.state_dict().values()] == before


@pytest.mark.parametrize("kind", [Viewing, ViewingInTraining])
def test_a_module_that_does_not_take_it_gets_the_plain_order(kind):
    net = kind()
    assert orders(net, 3, first=net.conv) == {False}
    with pytest.raises(RuntimeError, match="view"):
        orders(Viewing(), 3, first=nn.Identity(), channels_last=True)


def test_the_order_changes_rounding_alone():
    torch.manual_seed(0)
    net = ResNet18(width=8)
    x, y = torch.rand(16, 3, 16, 16), torch.arange(16) % 10
    plain, ordered = (
        gaat.attacks.PGD(gaat.Model(net, channels_last=way), eps="8/255", steps=3, random_start=False)(x, y) for way in (False, None)
    )
    assert float(((plain - ordered).abs() < 1e-5).float().mean()) > 0.99


def test_what_is_tried_leaves_buffers_and_generators_alone():
    class Counting(SmallNet):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x):
            self.calls.add_(1)
            return super().forward(x + 1e-3 * torch.randn_like(x))

    net = Counting()
    before = torch.get_rng_state()
    with gaat.Model(net).opened((1, 8, 8), trains=True) as adapter:
        assert adapter.channels_last
    assert float(net.calls) == 0 and torch.equal(before, torch.get_rng_state())
