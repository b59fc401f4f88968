"""The seed's own run folders: old names, old and new format, and the training goes on in them."""

import copy
import json
import math

import pytest
import torch

import ckptkit
from ckptkit_trainers.restoration.config import Config
from ckptkit_trainers.restoration.model import UNet
from ckptkit_trainers.restoration.train import train
from tests.trainers.seeds_restoration import OldTraining, old_experiment

SETTINGS = {
    "width": 8, "depth": 2, "patch": 32, "patches": 24, "val_size": 32, "device": "cpu",
    "tensorboard": False, "sample_every": 0, "lr": 1e-3,
}  # fmt: skip
PLANNED = 6  # epochs of the old training


@pytest.fixture(scope="module")
def old():
    """An old training after two epochs, after the third, and inside the fourth."""
    training, saved = OldTraining(PLANNED), {}
    for number in (2, 3):
        training.train(number - training.epoch)
        saved[number] = copy.deepcopy(training)
    training.half_an_epoch()
    return saved | {"broken": training}


def gone_on(root, epochs, resume="auto", **settings):
    told = []
    train(Config(epochs=epochs, **SETTINGS | settings), root, resume=resume, tell=told.append)
    return told, ckptkit.open_run(root)


def test_the_migrated_network_computes_what_the_old_one_did(tmp_path, old):
    torch.save(old[3].old_format(), tmp_path / "old.pth")
    network = UNet(3, 8, 2)
    report = ckptkit.restore(tmp_path / "old.pth", {"model": network}, trainer="restoration")
    assert [line.partition(":")[0] for line in report.migrated[-2:]] == [
        "model 1 to 2",
        "model 2 to 3",
    ]
    picture = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.allclose(network(picture), old[3].model(picture), atol=1e-6)


def test_migrated_forward_and_back_every_bit_is_as_it_was(tmp_path, old):
    torch.save(old[3].new_format(), tmp_path / "checkpoint_epoch_003.pth")
    for source, target, version in (
        ("checkpoint_epoch_003.pth", "new", 3),
        ("new", "back", 1),
    ):
        versions = ckptkit.Versions(trainer="restoration", to={"model": version})
        options = ckptkit.MigrateOptions(versions=versions)
        ckptkit.migrate(tmp_path / source, tmp_path / target, options)
    with ckptkit.load(tmp_path / "back") as back:
        weights, moments = back.state("model"), back.state("optimizer")["state"]
    for number, (name, tensor) in enumerate(old[3].model.named_parameters()):
        assert torch.equal(weights[name], tensor), name
        assert torch.equal(moments[number]["exp_avg"], old[3].optimizer.state[tensor]["exp_avg"])


def test_a_run_of_the_new_format_goes_on_epoch_step_best_history_and_schedule(tmp_path, old):
    root = tmp_path / "experiments"
    folder = old_experiment(
        root, old[3], best_model=old[2].new_format(), checkpoint_epoch_003=old[3].new_format()
    )
    told, view = gone_on(root, PLANNED)
    assert told[0].endswith("checkpoint_epoch_003.pth: epoch 3, step 9")
    assert view.folder == folder
    assert view.history["epoch"] == [1, 2, 3, 4, 5, 6]
    assert view.history["step"][3:] == [12, 15, 18]
    assert view.history["val_loss"][:3] == old[3].history["val_loss"]
    cosine = [1e-3 * (1 + math.cos(math.pi * epoch / PLANNED)) / 2 for epoch in range(PLANNED)]
    assert view.history["lr"] == pytest.approx(cosine)
    assert min(old[3].history["val_loss"]) == view.best.value  # the new ones are worse
    assert (view.best.epoch, (folder / "checkpoints" / "best_model").exists()) == (3, False)
    said = "\n".join(told)
    assert "it has no random streams" in said
    assert "it has no settings" in said
    assert "model 2 to 3" in said


def test_more_epochs_than_were_planned_follow_the_new_schedule(tmp_path, old):
    root = tmp_path / "experiments"
    old_experiment(root, old[3], checkpoint_epoch_003=old[3].new_format())
    gone_on(root, 4)
    told, view = gone_on(root, 5)
    assert view.history["epoch"] == [1, 2, 3, 4, 5]
    assert any("T_max" in text for text in told)
    assert view.history["lr"][-1] == pytest.approx(1e-3 * (1 + math.cos(math.pi * 4 / 5)) / 2)


def test_an_emergency_checkpoint_is_the_newest_and_its_epoch_is_begun_again(tmp_path, old):
    root = tmp_path / "experiments"
    old_experiment(
        root, old["broken"], best_model=old[2].new_format(),
        checkpoint_epoch_002=old[2].new_format(),
        emergency_checkpoint_oom_epoch_4={**old["broken"].new_format(), "epoch": 4},
    )  # fmt: skip
    told, view = gone_on(root, 4, batch_size=4)
    assert told[0].endswith("emergency_checkpoint_oom_epoch_4.pth: epoch 3, step 10")
    assert view.history["epoch"] == [1, 2, 3, 4]
    assert view.history["step"][-1] == 10 + 24 // 4


def test_weights_alone_begin_at_zero_and_what_they_lack_is_told(tmp_path, old):
    root = tmp_path / "experiments"
    old_experiment(root, old[3], best_model=old[3].old_format())
    told, view = gone_on(root, 1, resume="best_model.pth")
    said = "\n".join(told)
    assert "it does not say how far training was: counting begins at 0" in said
    for part in ("optimizer", "scheduler", "ema"):
        assert f"{part}  the checkpoint has nothing for it" in said
    assert view.history["epoch"] == [1]


def test_what_the_old_notebook_wrote_can_be_looked_at_without_training(tmp_path, old):
    folder = old_experiment(tmp_path, old[3], best_model=old[3].new_format())
    view = ckptkit.open_run(tmp_path)
    assert view.history["val_loss"] == old[3].history["val_loss"]
    assert view.best.epoch == 3
    assert json.loads((folder / "history.json").read_text()) == old[3].history
