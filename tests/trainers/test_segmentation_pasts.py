"""Checkpoints of the scripts before: seeds 002 and 004, old names and old formats."""

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import ckptkit  # noqa: E402
from ckptkit_trainers.segmentation.config import Config  # noqa: E402
from ckptkit_trainers.segmentation.migrators import MIGRATORS, TRAINER, VERSIONS  # noqa: E402
from ckptkit_trainers.segmentation.model import build, logits_of  # noqa: E402
from ckptkit_trainers.segmentation.train import train  # noqa: E402
from tests.trainers.seeds_segmentation import OLD, SIZE, WIDTH, WINDOW, conbuildseg, noon2  # noqa: E402

MODELS = ("unet", "buildformer", "segformer")
TO_NEWEST = ckptkit.Versions(trainer=TRAINER, migrators=MIGRATORS, to=VERSIONS)


def tiny(model, **settings):
    fixed = {"variant": "micro", "width": WIDTH, "window": WINDOW, "size": SIZE, "tiles": 16,
             "val_tiles": 2, "tensorboard": False, "sample_every": 0, "device": "cpu"}  # fmt: skip
    return Config(model=model, **fixed | settings)


def resumed(folder, path, config):
    told = []
    train(config, folder, resume=str(path), tell=told.append)
    with ckptkit.load(next(folder.glob("*/checkpoints/final_model"))) as checkpoint:
        state = {name: checkpoint.state(name) for name in checkpoint.document}
    return state, "\n".join(told)


@pytest.mark.parametrize("model", MODELS)
def test_the_weights_of_an_old_model_compute_what_they_computed(tmp_path, model):
    old, _ = conbuildseg(tmp_path / "epoch_4.pth", model)
    today = build(tiny(model))
    ckptkit.restore(tmp_path / "epoch_4.pth", {"model": today}, mode="warm-start", trainer=TRAINER,
                    migrators=MIGRATORS)  # fmt: skip
    x = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        assert torch.allclose(logits_of(today.eval(), x), old(x), atol=2e-6)


def test_the_old_names_of_segformer_are_those_that_transformers_writes(tmp_path):
    from safetensors import safe_open

    old = OLD["segformer"]()
    old.today.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(old.state_dict())


@pytest.mark.parametrize("model", MODELS)
def test_migrated_forward_and_back_every_bit_is_as_it_was(tmp_path, model):
    conbuildseg(tmp_path / "epoch_4.pth", model)
    ckptkit.migrate(tmp_path / "epoch_4.pth", tmp_path / "first")
    ckptkit.migrate(
        tmp_path / "first", tmp_path / "second", ckptkit.MigrateOptions(versions=TO_NEWEST)
    )
    back = ckptkit.Versions(trainer=TRAINER, migrators=MIGRATORS, to={"model": 1})
    ckptkit.migrate(tmp_path / "second", tmp_path / "back", ckptkit.MigrateOptions(versions=back))
    with ckptkit.load(tmp_path / "first") as first, ckptkit.load(tmp_path / "back") as again:
        before, after = first.state("model"), again.state("model")
        assert list(before) == list(after)
        assert all(torch.equal(before[name], after[name]) for name in before)
        old, new = first.state("optimizer")["state"], again.state("optimizer")["state"]
        assert all(torch.equal(old[n]["exp_avg"], new[n]["exp_avg"]) for n in old)


def test_a_checkpoint_of_seed_002_goes_on_with_epoch_step_best_and_schedule(tmp_path):
    path = tmp_path / "last_checkpoint.pt"
    noon2(path, epochs=4, steps=2)  # its cosine was to end at epoch 8
    state, told = resumed(tmp_path / "run", path, tiny("unet", epochs=6, best="val_loss"))
    assert state["progress"]["epochs_completed"] == 6
    assert state["progress"]["optimizer_steps"] == 4 * 2 + 2 * 2
    assert state["metrics"]["best"]["value"] == 0.0123  # nothing has been better since
    assert state["history"]["val_loss"][:4] == [0.6] * 4
    rates = [1e-3 * (1 + math.cos(math.pi * epoch / 6)) / 2 for epoch in (4, 5)]
    assert state["history"]["lr"][4:] == pytest.approx(rates, abs=1e-9)
    assert "no random streams" in told
    assert "model 1 to 2" in told


@pytest.mark.parametrize("model", ["segformer", "buildformer"])
def test_a_checkpoint_of_seed_004_goes_on_with_epoch_step_and_history(tmp_path, model):
    path = tmp_path / "epoch_4.pth"
    conbuildseg(path, model, epochs=4, steps=2)
    state, told = resumed(tmp_path / "run", path, tiny(model, epochs=5, lr=2e-5))
    assert state["progress"]["epochs_completed"] == 5
    assert state["progress"]["optimizer_steps"] == 4 * 2 + 2
    assert state["history"]["train_loss"][:4] == [0.5] * 4
    assert state["history"]["metrics"][0] == {"iou": 0.7, "f1": 0.8}
    assert state["scheduler"]["last_epoch"] == 5
    assert state["scheduler"]["base_lrs"] == [2e-5]
    assert "scheduler" in told  # it lacks one: the report says what begins afresh
    assert {int(one["step"]) for one in state["optimizer"]["state"].values()} == {10}


def test_a_migrated_seed_is_resumed_as_the_file_itself(tmp_path):
    path = tmp_path / "epoch_4.pth"
    conbuildseg(path, "buildformer")
    options = ckptkit.MigrateOptions(versions=TO_NEWEST)
    ckptkit.migrate(path, tmp_path / "sealed", options)
    config = tiny("buildformer", epochs=5)
    one, _ = resumed(tmp_path / "a", path, config)
    other, _ = resumed(tmp_path / "b", tmp_path / "sealed", config)
    assert one["progress"] == other["progress"]
    assert all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])


def test_weights_alone_begin_at_epoch_0_and_it_is_said(tmp_path):
    old, _ = conbuildseg(tmp_path / "epoch_4.pth", "segformer")
    torch.save(old.state_dict(), tmp_path / "weights.pth")
    state, told = resumed(tmp_path / "run", tmp_path / "weights.pth", tiny("segformer", epochs=1))
    assert state["progress"]["epochs_completed"] == 1
    assert "does not say how far training was" in told
    assert "optimizer" in told
