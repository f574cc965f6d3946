"""What does not fit, and what would have no effect, is refused with what to do."""

import logging

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

import gaat
from nets import SmallNet

KEYS = dict(eps=0.06, epochs=1, batch_size=50, learning_rate=0.05, validation_steps=2)


@pytest.mark.parametrize(
    "key, value, mended",
    [
        ("epsilon", 0.1, "the argument is eps"),
        ("normalization", "cifar10", "give mean and std to gaat.Model"),
        ("limit", 100, "torch.utils.data.Subset"),
        ("device", "cuda", "module.to"),
        ("precision", "bf16", "autocast=torch.bfloat16"),
        ("from", "runs/e", "load_state_dict"),
        ("extra_data", "more.npz", "ConcatDataset"),
        ("lr", 0.1, "did you mean learning_rate"),
        ("learning_rat", 0.1, "did you mean learning_rate"),
    ],
)
def test_a_key_that_would_have_no_effect_is_refused(key, value, mended, images):
    with pytest.raises(TypeError, match=f"{key}.*{mended}"):
        gaat.train(SmallNet(), images, eps=0.06, **{key: value})


@pytest.mark.parametrize("key", ["epochs", "batch_size", "learning_rate", "crop_padding", "mixup", "on_collapse"])
def test_a_key_of_the_training_is_refused_in_a_loop_of_ones_own(key):
    with pytest.raises(TypeError, match=f"{key} has no effect here: a loop of your own does that itself"):
        gaat.Method("gaat", SmallNet(), eps=0.06, **{key: 1})


def test_a_method_is_checked_as_it_is_made():
    for wrong, mended in [(dict(eps=8), "8/255"), (dict(eps=0.06, step=3), "did you mean steps"), (dict(eps=True), "a number")]:
        with pytest.raises((ValueError, TypeError), match=mended):
            gaat.Method("gaat", SmallNet(), **wrong)
    with pytest.raises(ValueError, match="gaat"):
        gaat.Method("gat", SmallNet(), eps=0.06)
    for of_known_length in [dict(epsilon_warmup=0.5), dict(project="adaptive")]:
        with pytest.raises(ValueError, match="total_steps"):
            gaat.Method("gaat", SmallNet(), eps=0.06, **of_known_length)


@pytest.mark.parametrize("key, value", [("batch_size", "many"), ("learning_rate", "fast"), ("weight_averaging", True), ("seed", -1)])
def test_a_value_of_the_wrong_type_names_its_key_and_no_file_format(key, value, images):
    with pytest.raises(ValueError, match=f"^{key} = ") as caught:
        gaat.train(SmallNet(), images, eps=0.06, **{key: value})
    assert "TOML" not in str(caught.value)


def test_a_loader_that_chooses_images_is_refused_for_a_training(images):
    data = TensorDataset(*images)
    with pytest.raises(ValueError, match="SubsetRandomSampler.*Subset"):
        gaat.train(SmallNet(), DataLoader(data, 50, sampler=SubsetRandomSampler(range(20))), **KEYS)
    few = torch.utils.data.Subset(data, range(100))
    run = gaat.train(SmallNet(), DataLoader(few, 50, shuffle=True), **{**KEYS, "batch_size": 10}, validation=None)
    assert run.record["images"] == 100


@pytest.mark.parametrize(
    "attacks, mended",
    [
        ([], "without an attack"),
        ("pgd", "expected a list"),
        (("pgd", {"steps": 3}), "expected a list"),
        ([("pgd", {"step": 5})], "did you mean steps"),
        ([("pgd", {"banana": 5})], "attacks have steps"),
        ([("pgd", {"step_size": 2})], "2/255"),
    ],
)
def test_attacks_that_are_none_are_refused(attacks, mended, net, test_images):
    with pytest.raises((ValueError, TypeError), match=mended):
        gaat.evaluate(net, test_images, eps=0.06, attacks=attacks)


def test_a_step_of_two_and_a_misspelt_number_are_refused(net, test_images):
    x, y = test_images[0][:5], test_images[1][:5]
    with pytest.raises(ValueError, match="2/255"):
        gaat.attacks.PGD(net, alpha=2)(x, y)
    with pytest.raises(ValueError, match="did you mean steps"):
        gaat.attacks.Named(net, "pgd", eps=0.06, stepz=3)(x, y)
    # torchattacks' second argument is c here, and no radius.
    with pytest.raises(TypeError, match="positional"):
        gaat.attacks.CW(net, 50)


class Detached(SmallNet):
    def forward(self, x):
        return super().forward(x.detach())


class Ungraded(SmallNet):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


@pytest.mark.parametrize("network", [Detached, Ungraded])
def test_a_module_without_a_gradient_in_the_pixels_is_refused(network, images):
    x, y = images[0][:20], images[1][:20]
    calls = [
        lambda: gaat.attacks.PGD(network(), eps=0.06)(x, y),
        lambda: gaat.Method("rat", network(), eps=0.06).perturb(x, y),
        lambda: gaat.train(network(), (x, y), **KEYS),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="have no gradient in the pixels.*detach"):
            call()
    assert gaat.attacks.Square(network(), eps=0.06, n_queries=5)(x, y).shape == x.shape


@pytest.mark.parametrize(
    "change, mended",
    [
        (lambda x, y: (x * 255, y), "divide them by 255"),
        (lambda x, y: (x * 2 - 1, y), "leave Normalize out"),
        (lambda x, y: ((x + 1e-6).where(x == x.max(), x), y), "clamp"),
        (lambda x, y: (x / 0, y), "not numbers|leave Normalize"),
        (lambda x, y: (x * float("nan"), y), "NaN"),
        (lambda x, y: (x, y[:3]), "a label for each of 10 images"),
        (lambda x, y: (x, y[:, None]), r"y.squeeze\(1\)"),
        (lambda x, y: (x, nn.functional.one_hot(y, 10)), r"y.argmax\(1\)"),
        (lambda x, y: (x, y.float()), r"y.long\(\)"),
    ],
)
@pytest.mark.parametrize("call", ["attack", "evaluate"])
def test_images_and_labels_that_do_not_fit_say_what_mends_them(change, mended, call, net, test_images):
    x, y = change(test_images[0][:10], test_images[1][:10])
    with pytest.raises((ValueError, TypeError), match=mended):
        if call == "attack":
            gaat.attacks.FGSM(net, eps=0.06)(x, y)
        else:
            gaat.evaluate(net, (x, y), eps=0.06, attacks=["fgsm"])


def test_arrays_are_images_too_and_a_name_is_none(net, test_images):
    x, y = (part.numpy() for part in test_images)
    assert gaat.evaluate(net, (x, numpy.asarray(y)), eps=0.06, attacks=["fgsm"], probe_images=0).examples == len(x)
    for data in ("cifar10", test_images[0]):
        with pytest.raises(TypeError, match="DataLoader"):
            gaat.evaluate(net, data, eps=0.06, attacks=["fgsm"])


def test_the_module_says_how_many_classes_there_are(net, test_images):
    with pytest.raises(ValueError, match="gives 10 logits.*told of 5 classes"):
        gaat.attacks.FGSM(gaat.Model(net, classes=5), eps=0.06)(test_images[0][:5], torch.zeros(5, dtype=torch.long))


def test_a_mean_of_bytes_and_a_narrow_autocast_are_refused(net):
    with pytest.raises(ValueError, match="mean / 255"):
        gaat.Model(net, mean=(125,), std=(60,))
    with pytest.raises(ValueError, match="bfloat16"):
        gaat.Model(net, autocast=torch.float16)


def test_a_run_goes_on_and_is_loaded_with_its_own_normalisation_alone(images, tmp_path):
    few = images[0][:200], images[1][:200]
    given = dict(mean=(0.4,), std=(0.3,))
    gaat.train(gaat.Model(SmallNet(), **given), few, out=tmp_path / "a", **KEYS)
    with pytest.raises(OSError, match="normalization"):
        gaat.train(SmallNet(), few, out=tmp_path / "a", resume=True, **KEYS)
    loaded = gaat.load(tmp_path / "a", SmallNet())
    assert (loaded.mean, loaded.std) == ((0.4,), (0.3,))
    with pytest.raises(ValueError, match="leave mean and std out"):
        gaat.load(tmp_path / "a", gaat.Model(SmallNet(), mean=(0.5,), std=(0.3,)))
    with pytest.raises(ValueError, match='"best" and "last"'):
        gaat.load(tmp_path / "a", SmallNet(), "bst")


def test_bf16_is_said_to_be_bf16(net, images, test_images):
    x, y = test_images[0][:50], test_images[1][:50]
    model = gaat.Model(net, autocast=torch.bfloat16)
    assert gaat.evaluate(model, (x, y), eps=0.06, attacks=["fgsm"], probe_images=0).data["precision"] == "bf16"
    assert gaat.evaluate(net, (x, y), eps=0.06, attacks=["fgsm"], probe_images=0).data["precision"] == "fp32"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        run = gaat.train(SmallNet(), (images[0][:100], images[1][:100]), **KEYS)
    assert run.record["environment"]["precision"] == "bf16" and run.recipe["precision"] == "bf16"


def test_alarms_and_a_chance_accuracy_are_told(net, test_images, caplog):
    x = test_images[0]
    with caplog.at_level(logging.INFO, "gaat"):
        run = gaat.train(SmallNet(), (x, torch.arange(len(x)) % 10), eps=0.06, epochs=2, batch_size=50, learning_rate=1e-5, method="rat")
        gaat.evaluate(net, (x, (test_images[1] + 5) % 10), eps=0.06, attacks=["fgsm"], probe_images=0)
    assert "epoch 1:" in caplog.text and "hardly better than chance" in caplog.text
    assert run.alarms and run.alarms[0] in caplog.text and f"alarms: {len(run.alarms)}" in repr(run)
