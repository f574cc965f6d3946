"""Programs for the command line."""

import pytest
import torch
from torch import nn

import gaat
from nets import SmallNet


class Branching(SmallNet):
    """Computes something else while it trains."""

    def forward(self, x):
        if self.training:
            x = x + 0.1 * torch.randn_like(x)
        return super().forward(x)


def program(path):
    return torch.export.load(path).module()


@pytest.mark.filterwarnings("ignore")  # of torch about itself
def test_the_program_of_each_mode_computes_what_the_module_does(test_images, tmp_path):
    x = test_images[0][:10]
    net = Branching().eval()
    gaat.export(gaat.Model(net), x[:2], tmp_path / "net.pt2", evaluation=tmp_path / "eval.pt2")
    assert not net.training and all(not part.training for part in net.modules())
    assert torch.allclose(program(tmp_path / "eval.pt2")(x), net(x), atol=1e-5)
    trained = program(tmp_path / "net.pt2")
    assert not torch.allclose(trained(x), trained(x), atol=1e-3)


def test_one_program_is_written_unless_two_are_asked_for(net, test_images, tmp_path):
    gaat.export(net, test_images[0][:2], tmp_path / "net.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]


def test_what_cannot_be_exported_is_refused_and_modes_come_back(test_images, tmp_path):
    with pytest.raises(ValueError, match="at least 2 images"):
        gaat.export(SmallNet(), test_images[0][:1], tmp_path / "net.pt2")

    class Deciding(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = SmallNet()

        def forward(self, x):
            return self.inner(x) if float(x.sum()) > 0 else self.inner(-x)

    net = Deciding().eval()
    with pytest.raises(Exception):
        gaat.export(net, test_images[0][:2], tmp_path / "net.pt2")
    assert not any(part.training for part in net.modules())
