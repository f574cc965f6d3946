"""Verdicts: of any data, resumed, reported, and equal to AutoAttack called as the reference is."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import gaat
from nets import SmallNet

FAST = [("fgsm", {}), ("pgd", {"steps": 5, "restarts": 1})]


def test_a_verdict_says_what_was_found(net, test_images, tmp_path):
    verdict = gaat.evaluate(net, test_images, eps=0.06, attacks=FAST, batch_size=200)
    x, y = test_images
    assert verdict.clean == gaat.clean_accuracy(net, x, y)
    assert verdict.interval[0] < verdict.robust < verdict.interval[1] < 1 and verdict.robust < verdict.clean
    assert list(verdict.attacks) == ["fgsm", "pgd-5"] and min(verdict.attacks.values()) >= verdict.robust
    assert verdict.alarms == [] and verdict.examples == 500
    verdict.report(tmp_path / "r.html")
    assert f"{verdict.robust * 100:.1f} %" in (tmp_path / "r.html").read_text()
    verdict.save(tmp_path / "v.json")
    assert f"robust {verdict.robust:.2%}" in repr(verdict)


def test_any_data_gives_the_same_verdict(net, test_images):
    x, y = test_images

    class Batches:
        def __iter__(self):
            for at in range(0, len(x), 90):
                yield {"pixel_values": x[at : at + 90], "labels": y[at : at + 90]}

    forms = [
        (x, y),
        (x.mul(255).round().byte(), y),
        TensorDataset(x, y),
        DataLoader(TensorDataset(x, y), batch_size=70),
        Batches(),
    ]
    found = [gaat.evaluate(net, data, eps=0.06, attacks=FAST, probe_images=0).data for data in forms]
    for one in found:
        one.pop("seconds")
        for attack in one["attacks"]:
            attack.pop("seconds")
    assert all(one == found[0] for one in found)


def test_floating_point_images_stay_what_they_are(net, test_images):
    x, y = test_images
    moved = (x + 0.3 / 255).clamp(0, 1)
    verdict = gaat.evaluate(net, (moved, y), eps=1e-9, attacks=["fgsm"], probe_images=0)
    assert verdict.clean == float((net(moved).argmax(1) == y).double().mean())


def test_a_judgement_that_was_stopped_goes_on(net, test_images, tmp_path):
    whole = gaat.evaluate(net, test_images, eps=0.06, attacks=FAST, batch_size=100)
    state, seen = tmp_path / "aa.json", []

    def stop(stage, done, total, robust):
        seen.append((stage, done, total))
        if len(seen) == 7:
            raise RuntimeError("stop here")

    arguments = dict(eps=0.06, attacks=FAST, batch_size=100, state=state)
    with pytest.raises(RuntimeError, match="stop here"):
        gaat.evaluate(net, test_images, progress=stop, **arguments)
    rest = []
    again = gaat.evaluate(net, test_images, progress=lambda *told: rest.append(told), **arguments)
    assert len(seen) == 7 and len(rest) == 15 - 7
    assert (again.robust, again.attacks) == (whole.robust, whole.attacks)
    other = SmallNet()
    with pytest.raises(OSError, match="belongs to another evaluation"):
        gaat.evaluate(other, test_images, **arguments)


def test_autoattack_finds_the_same_called_either_way(net, test_images):
    x, y = test_images[0][:16], test_images[1][:16]
    verdict = gaat.evaluate(net, (x, y), eps=0.06, attacks=["autoattack"], batch_size=8, probe_images=0)
    attack = gaat.attacks.AutoAttack(net, eps=0.06, verbose=False)
    attack.run_standard_evaluation(x, y, bs=8)
    assert attack.accuracies["clean"] == verdict.clean and attack.accuracies["square"] == verdict.robust
    parts = verdict.data["attacks"][0]["parts"]
    assert [part["name"] for part in parts] == list(attack.accuracies)[1:]


def test_a_part_is_chosen_by_seed(net, test_images):
    verdict = gaat.evaluate(net, test_images, eps=0.06, attacks=["fgsm"], n=100, seed=3, probe_images=0)
    assert verdict.examples == 100 and verdict.data["subset"]["seed"] == 3


def test_what_does_not_fit_is_refused(net, test_images):
    x, y = test_images
    with pytest.raises(ValueError, match="Normalize"):
        gaat.evaluate(net, (x - 0.5, y), eps=0.1)
    with pytest.raises(ValueError, match="unknown|fgsm"):
        gaat.evaluate(net, (x, y), eps=0.1, attacks=["fgms"])
    with pytest.raises(ValueError, match="3 names, the module 10"):
        gaat.evaluate(net, (x, y), eps=0.1, classes=["a", "b", "c"])
    with pytest.raises(ValueError, match="no batch"):
        gaat.evaluate(net, [], eps=0.1)
