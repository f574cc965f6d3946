"""What the tests share: images, and a network that knows them."""


import pytest
import torch
import torch.nn.functional as F

from nets import SmallNet

torch.set_num_threads(1)


def blobs(count, seed, noise=0.25):
    """Ten classes of 8 x 8 images: a pattern each, with noise; multiples of 1/255."""
    generator = torch.Generator().manual_seed(7)
    patterns = torch.rand(10, 1, 8, 8, generator=generator)
    generator.manual_seed(seed)
    labels = torch.randint(0, 10, (count,), generator=generator)
    pixels = patterns[labels] + noise * torch.randn(count, 1, 8, 8, generator=generator)
    return pixels.clamp(0, 1).mul(255).round().div(255), labels


@pytest.fixture(scope="session")
def images():
    return blobs(1000, 1)


@pytest.fixture(scope="session")
def test_images():
    return blobs(500, 2)


@pytest.fixture(scope="session")
def trained(images):
    """State of a SmallNet that tells the blobs apart."""
    torch.manual_seed(0)
    net, (x, y) = SmallNet(), images
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for epoch in range(6):
        for at in range(0, len(x), 100):
            optimizer.zero_grad()
            F.cross_entropy(net(x[at : at + 100]), y[at : at + 100]).backward()
            optimizer.step()
    return net.eval().state_dict()


@pytest.fixture
def net(trained):
    net = SmallNet()
    net.load_state_dict(trained)
    return net.eval()
