"""The loops of examples/ on the packages that they are written for, each skipped where its package is not installed.

`cargo xtask python` installs none of them (0.2 GB). It sees what is on PYTHONPATH too:
pip install --no-deps --target FOLDER lightning pytorch-lightning lightning-utilities torchmetrics transformers accelerate ...
"""

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

import gaat
from nets import SmallNet

EPS = 0.06
EXAMPLES = Path(__file__).parents[1] / "examples"
# Those packages warn of their own affairs.
pytestmark = pytest.mark.filterwarnings("ignore")


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needs(package):
    return pytest.importorskip(package, reason=f"{package} is not installed, so that its example is not tested", exc_type=ImportError)


def small_net(seed=1):
    torch.manual_seed(seed)
    return SmallNet()


def robust(net, images, eps=EPS):
    """Share that withstands PGD-10."""
    x, y = images[0][:200], images[1][:200]
    perturbed = gaat.attacks.PGD(net, eps=eps, alpha=eps / 4, steps=10)(x, y)
    return gaat.clean_accuracy(net, perturbed, y)


def loader(images):
    return DataLoader(TensorDataset(*images), batch_size=50, shuffle=True)


@pytest.fixture(scope="module")
def unprotected(images, test_images):
    """What natural training of as many steps withstands."""
    net = small_net()
    example("plain_loop").train(net, loader(images), EPS, epochs=4, method="natural")
    return robust(net, test_images)


def test_a_plain_loop(images, test_images, unprotected):
    net = small_net()
    adversary = example("plain_loop").train(net, loader(images), EPS, epochs=4)
    assert adversary.passes[0] >= 1000 * 4 and adversary.gain_ratio is not None
    assert robust(net, test_images) > unprotected + 0.1


def test_lightning(images, test_images, unprotected, tmp_path):
    lightning = needs("lightning").pytorch

    class Classifier(lightning.LightningModule):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, _index):
            x, y = batch
            return F.cross_entropy(self(x), y)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)

    callback = example("lightning_callback").Adversarial("gaat", eps=EPS)
    trainer = lightning.Trainer(
        max_epochs=4,
        accelerator="cpu",
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    net = small_net()
    trainer.fit(Classifier(net), loader(images))
    assert callback.adversary.passes[0] >= 1000 * 4
    assert float(trainer.callback_metrics["gain_ratio"]) == pytest.approx(callback.adversary.gain_ratio)
    assert robust(net, test_images) > unprotected + 0.1


class Named(Dataset):
    """Images as Hugging Face names them."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images[0])

    def __getitem__(self, index):
        return {"pixel_values": self.images[0][index], "labels": self.images[1][index]}


def test_trainer_of_hugging_face(images, test_images, tmp_path):
    transformers = needs("transformers")
    needs("accelerate")
    config = transformers.ResNetConfig(
        num_channels=1, embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_labels=10
    )

    eps = 0.15  # This network withstands EPS untrained for it.

    def trained(method):
        torch.manual_seed(1)
        net = transformers.ResNetForImageClassification(config)
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path),
            use_cpu=True,
            num_train_epochs=6,
            per_device_train_batch_size=50,
            per_device_eval_batch_size=50,
            learning_rate=1e-2,
            max_grad_norm=0,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = example("huggingface_trainer").AdversarialTrainer(
            net, arguments, train_dataset=Named(images), method=method, eps=eps, mean=(0.5,), std=(0.25,)
        )
        trainer.train()
        return net, trainer

    net, trainer = trained("gaat")
    passes = trainer.adversary.passes
    assert passes[0] >= 1000 * 6
    # Judging is on clean images.
    assert trainer.evaluate(Named(test_images))["eval_loss"] < 2 and trainer.adversary.passes == passes
    plain, _ = trained("natural")
    withstand, fall = (robust(gaat.Model(each, (0.5,), (0.25,)), test_images, eps) for each in (net, plain))
    assert withstand > fall + 0.1


def test_accelerate(images, test_images, unprotected):
    accelerate = needs("accelerate")
    net = small_net()
    adversary = example("accelerate_loop").train(
        accelerate.Accelerator(cpu=True), net, torch.optim.SGD(net.parameters(), 0.1, momentum=0.9), loader(images), EPS, epochs=4
    )
    assert adversary.passes[0] >= 1000 * 4
    assert robust(net, test_images) > unprotected + 0.1


