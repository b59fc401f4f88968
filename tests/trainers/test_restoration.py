"""The restoration trainer: killed anywhere, it learns, and its pictures can be looked at."""

import numpy as np
import pytest
import torch
from PIL import Image

import ckptkit
from ckptkit.errors import InputError
from ckptkit.testing.trainer_contract import TrainerContract
from ckptkit.testing.trainings import Blow, Trainings
from ckptkit_trainers.restoration.config import Config, EvaluateOptions, SampleOptions
from ckptkit_trainers.restoration.denoise import denoise, load_network
from ckptkit_trainers.restoration.evaluate import evaluate
from ckptkit_trainers.restoration.model import build
from ckptkit_trainers.restoration.sample import sample
from ckptkit_trainers.restoration.train import train

TINY = {
    "epochs": 2, "width": 8, "depth": 2, "patch": 32, "patches": 40, "val_size": 48,
    "save_every_steps": 2, "device": "cpu", "tensorboard": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    """One process has the libraries for all the trainings of this file."""
    with Trainings("restoration") as trainings:
        yield trainings


class TestRestoration(TrainerContract):
    trainer = "restoration"
    tiny = TINY
    architecture = {"width": 12, "depth": 1, "colours": "grey"}
    free = {"batch_size": 4, "epochs": 3, "ema": 0.0}
    actions = {
        "sample": {"out": "{tmp}/out", "device": "cpu"},
        "evaluate": {"levels": "25", "device": "cpu"},
    }

    @pytest.fixture(scope="class")
    @classmethod
    def trainings(cls, server):
        return server


class Fp16(TrainerContract):
    """As above with gradients that are gathered and scaled; its tests are called by name below."""

    trainer = "restoration"
    tiny = {
        **TINY, "width": 4, "depth": 1, "patch": 16, "patches": 32, "val_size": 16,
        "precision": "fp16", "accumulate": 2,
    }  # fmt: skip


def test_gathered_and_scaled_gradients_are_gone_on_with_to_the_same_bits(server, tmp_path):
    whole = Fp16._trained(server, tmp_path / "whole")
    ended = server.train(tmp_path / "broken", Fp16.tiny, blow=Blow("forward", 40))
    assert ended.code == -9, ended.said
    broken = Fp16._trained(server, tmp_path / "broken")
    report = ckptkit.diff(whole, broken)
    assert not list(report.differing)
    with ckptkit.load(broken) as checkpoint:
        assert "scaler" in checkpoint.document


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A training of 120 steps: enough to see that it learns."""
    folder = tmp_path_factory.mktemp("learned")
    config = Config(
        epochs=3, width=12, depth=2, patch=32, patches=320, val_size=64, device="cpu", lr=5e-3,
        ema=0.9, tensorboard=False, sample_every=3, noise_low=20, noise_high=30,
    )  # fmt: skip
    told = []
    train(config, folder, resume="never", tell=told.append)
    (run,) = folder.iterdir()
    return config, run


def test_it_learns_the_held_out_photographs_come_out_better_than_they_went_in(learned):
    history = ckptkit.open_run(learned[1]).history
    noisy_loss, noisy_psnr = 0.148, 20.6  # of a network that leaves the noise where it is
    assert history["val_loss"][-1] < 0.75 * noisy_loss
    assert history["val_psnr"][-1] > noisy_psnr + 3  # half of the error
    assert set(history) >= {
        "train_loss", "train_l1", "train_ssim", "val_loss", "val_l1", "val_ssim", "val_psnr", "lr",
    }  # fmt: skip
    assert history["lr"] == pytest.approx([5e-3, 5e-3 * 0.75, 5e-3 * 0.25])


def test_the_best_is_that_of_the_least_validation_loss_and_samples_lie_beside(learned):
    view = ckptkit.open_run(learned[1])
    assert view.best.value == min(view.history["val_loss"])
    assert [path.name for path in (learned[1] / "samples").iterdir()] == ["epoch_003.png"]
    pixels = np.asarray(Image.open(learned[1] / "samples" / "epoch_003.png").convert("RGB"))
    clean, noisy, denoised = (
        pixels[20:80, 4 + 68 * n : 64 + 68 * n].astype(float) for n in range(3)
    )
    assert np.abs(noisy - clean).mean() > 15
    assert np.abs(denoised - clean).mean() < 0.7 * np.abs(noisy - clean).mean()


def test_pictures_of_ones_own_are_denoised_and_written(learned, tmp_path):
    config, run = learned
    (tmp_path / "in" / "more").mkdir(parents=True)
    for name in ("in/a.png", "in/more/a.jpg"):
        Image.effect_noise((37, 50), 30).convert("RGB").save(tmp_path / name)
    options = SampleOptions(input=str(tmp_path / "in"), out=str(tmp_path / "out"), device="cpu")
    told = sample(run / "checkpoints" / "final_model", config, options)
    assert (told["epoch"], told["step"], told["weights"]) == (3, 120, "ema")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {f"a_{n}_{word}.png" for n in (1, 2) for word in ("denoised", "compared")}
    assert written == {row[word] for row in told["pictures"] for word in ("denoised", "compared")}
    assert told["out"] == str(tmp_path / "out")
    before = np.asarray(Image.open(tmp_path / "in" / "a.png"), dtype=float)
    after = np.asarray(Image.open(tmp_path / "out" / "a_1_denoised.png"), dtype=float)
    assert after.shape == before.shape
    assert after.std() < 0.8 * before.std()  # noise alone: it is made smooth
    assert "psnr" not in told["pictures"][0]  # nobody knows the clean one


def test_the_table_compares_with_noisy_and_classical_at_each_level(learned, tmp_path):
    config, run = learned
    (tmp_path / "in").mkdir()
    for number, photograph in enumerate(("astronaut", "chelsea")):
        from skimage import data

        pixels = getattr(data, photograph)()[100:164, 100:164]
        Image.fromarray(pixels).save(tmp_path / "in" / f"{number}.png")
    options = EvaluateOptions(
        input=str(tmp_path / "in"), levels="25,50", classical=True, device="cpu"
    )
    told = evaluate(run / "checkpoints" / "best_model", config, options)
    rows = told["by_noise"]
    assert [(row["noise"], row["picture"]) for row in rows] == [
        (level, picture) for level in (25.0, 50.0) for picture in ("0.png", "1.png", "mean")
    ]
    first, second, mean = (row["denoised_psnr"] for row in rows[:3])
    assert mean == pytest.approx((first + second) / 2, abs=0.02)
    assert mean > rows[2]["noisy_psnr"] + 3
    assert {"tv_psnr", "tv_ssim", "nlm_psnr", "nlm_ssim"} <= rows[0].keys()
    assert rows[2]["nlm_psnr"] > rows[2]["noisy_psnr"]


def test_in_tiles_a_picture_comes_out_as_in_one_piece(learned):
    config, run = learned
    finished = load_network(run / "checkpoints" / "final_model", config, "cpu")
    picture = torch.rand(3, 150, 97, generator=torch.Generator().manual_seed(1))
    whole = denoise(finished, picture, tile=512)
    assert torch.allclose(denoise(finished, picture, tile=30), whole, atol=1e-6)


@pytest.mark.parametrize("levels", ["", "15;25", "0", "-5", "300", "nan"])
def test_levels_that_are_none_are_refused_with_the_form(learned, levels):
    config, run = learned
    with pytest.raises(InputError, match="write them as 15,25,50"):
        evaluate(run / "checkpoints" / "best_model", config, EvaluateOptions(levels=levels))


@pytest.mark.parametrize("size", [(1, 3, 33, 64), (2, 3, 64, 37), (1, 1, 40, 40)])
def test_pictures_of_any_size_keep_it_and_a_new_network_leaves_them_alone(size):
    config = Config(width=8, depth=3, colours="grey" if size[1] == 1 else "colour")
    torch.manual_seed(0)
    network = build(config)
    network.head.bias.data.zero_()
    picture = torch.rand(size)
    assert torch.equal(network(picture), picture)
