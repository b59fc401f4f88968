"""The diffusion trainer: the contract, what it learns, what it draws and measures."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import ckptkit
from ckptkit.errors import SettingError
from ckptkit.testing.trainer_contract import TrainerContract, final_of
from ckptkit_trainers.diffusion.config import Config, EvaluateOptions, SampleOptions
from ckptkit_trainers.diffusion.data import HeldOutClips, Noised, read_data
from ckptkit_trainers.diffusion.evaluate import evaluate
from ckptkit_trainers.diffusion.model import build
from ckptkit_trainers.diffusion.noise import ddpm, target_of, weights_of
from ckptkit_trainers.diffusion.sample import sample
from ckptkit_trainers.diffusion.train import train
from tests.trainers.seeds_diffusion import TINY


class TestDiffusion(TrainerContract):
    trainer = "diffusion"
    tiny = TINY | {"sample_every": 0}
    architecture = {"channels": 16, "prediction": "epsilon"}
    free = {"batch_size": 5, "lr": 1e-3, "ema": 0.5, "epochs": 3}
    actions = {
        "sample": {"num_samples": 1, "steps": 1, "out": "{tmp}"},
        "evaluate": {"clips": 5, "samples_each": 0},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training that sampled at its end."""
    folder = tmp_path_factory.mktemp("diffusion") / "run"
    train(Config(**TINY), folder)
    return final_of(folder)


def test_it_learns(tmp_path, capsys):
    """The error on clips that it never saw falls far below that of predicting nothing."""
    config = Config(
        **TINY | {"clips": 48, "lr": 1e-2, "channels": 16, "head": 4, "sample_every": 0,
                  "val_clips": 10, "ema": 0.7},
    )  # fmt: skip
    train(config, tmp_path)
    with ckptkit.load(final_of(tmp_path)) as checkpoint:
        history = checkpoint.state("history")
    assert history["val_loss"][-1] < 0.7 * error_of_nothing(config)
    assert history["train_loss"][-1] < 0.85 * history["train_loss"][0]
    assert f"epoch 2 of 2: val_loss {history['val_loss'][-1]:.4f}" in capsys.readouterr().err


def error_of_nothing(config):
    """The held-out error of a model that always says 0."""
    read = read_data(config)
    held_out = HeldOutClips(read.held_out, read.tokens, config)
    items = [held_out[index] for index in range(len(held_out))]
    batch = Noised(*(torch.stack([item[part] for item in items]) for part in range(4)))
    target = target_of(ddpm(config), batch.clip, batch.noise, batch.times)
    return float(target.square().mean())


# -- what it draws --------------------------------------------------------------------------------


def test_samples_of_the_training_are_moving_gifs_and_a_sheet(run):
    folder = run.parent.parent / "samples"
    assert sorted(one.name for one in folder.iterdir()) == [
        "epoch_002.png", "epoch_002_1.gif", "epoch_002_2.gif"]  # fmt: skip
    with Image.open(folder / "epoch_002_1.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"]) == (2, (96, 96), 0)
    with Image.open(folder / "epoch_002.png") as page:
        assert len(set(page.convert("L").tobytes())) > 10


def test_sampling_while_training_changes_no_bit_of_it(tmp_path, run):
    train(Config(**TINY | {"sample_every": 0}), tmp_path)
    report = ckptkit.diff(run, final_of(tmp_path))
    assert [row for row in report.differing if "history" not in str(row)] == []


def test_samples_follow_their_seed_and_tell_which_checkpoint_drew_them(run, tmp_path, caplog):
    def drawn(name, **options):
        options = {"prompt": "three moving left", "num_samples": 3, "steps": 2} | options
        caplog.set_level("INFO")
        return sample(run, Config(**TINY), SampleOptions(**options, out=str(tmp_path / name)))

    first, same, other = drawn("a"), drawn("b"), drawn("c", seed=1)
    assert (first["epoch"], first["step"], first["weights"]) == (2, 10, "ema")
    assert "checkpoint of epoch 2, step 10" in caplog.text
    assert json.loads(json.dumps(first)) == first

    def gifs(told):
        return [Path(told["out"], clip["gif"]).read_bytes() for clip in told["clips"]]

    bytes_of = [gifs(one) for one in (first, same, other)]
    assert bytes_of[0] == bytes_of[1] != bytes_of[2]
    assert len(set(bytes_of[0])) == 3
    guided = drawn("d", guidance=6.0)
    assert gifs(guided)[0] != bytes_of[0][0]
    raw = drawn("e", weights="model")
    assert raw["weights"] == "model"
    assert gifs(raw)[0] != bytes_of[0][0]


def test_prompts_are_taken_in_turn_and_unknown_words_are_refused_with_the_known(run, tmp_path):
    options = {"num_samples": 3, "steps": 1, "out": str(tmp_path)}
    taken = sample(run, Config(**TINY), SampleOptions(**options))
    assert [clip["prompt"] for clip in taken["clips"]] == [
        "three moving left", "one moving up", "three moving left"]  # fmt: skip
    with pytest.raises(
        SettingError, match=r"eleven: not among the words that the model knows; .* zero, one, two"
    ):
        sample(run, Config(**TINY), SampleOptions(prompt="eleven moving left", **options))
    with pytest.raises(SettingError, match="--steps: is 0; expected 1 or more"):
        sample(run, Config(**TINY), SampleOptions(**options | {"steps": 0}))


def test_of_a_folder_its_held_out_captions_are_drawn_new_words_in_them_or_not(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for number in range(4):
        frames = [Image.new("L", (16, 16), 60 * number + frame) for frame in range(3)]
        frames[0].save(data / f"{number}.gif", save_all=True, append_images=frames[1:])
        (data / f"{number}.txt").write_text(f"sign number{number}")
    config = Config(**TINY | {"data": str(data), "prompts": "", "epochs": 1, "sample_every": 1})
    train(config, tmp_path / "run")
    drawn = sample(final_of(tmp_path / "run"), config, SampleOptions(steps=1, num_samples=1))
    (held_out,) = read_data(config).held_out.pairs
    assert [clip["prompt"] for clip in drawn["clips"]] == [held_out.caption]
    (sheet,) = (tmp_path / "run").glob("*/samples/epoch_001.png")
    with Image.open(sheet) as page:
        assert page.height < 100, "of one row"


def test_an_evaluation_tells_the_loss_by_level_and_what_is_recognised(run, monkeypatch):
    monkeypatch.setattr("ckptkit_trainers.diffusion.evaluate.LEARNED_FROM", 600)
    told = evaluate(run, Config(**TINY), EvaluateOptions(clips=10, samples_each=1, steps=1))
    assert (told["epoch"], told["step"]) == (2, 10)
    assert [row["noise"] for row in told["by_noise"]] == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert told["drawn_clips"] == 40
    digit, direction = told["recognised"]
    assert (digit["chance"], direction["chance"]) == (0.1, 0.25)
    assert digit["real"] > 0.4
    assert direction["real"] > 0.9
    assert 0 <= digit["drawn"] < 0.5, "two epochs teach nobody to draw"


# -- options --------------------------------------------------------------------------------------


def test_the_loss_weights_are_those_of_min_snr():
    times = torch.tensor([1, 500, 998])
    for prediction, beside in (("v", 1), ("epsilon", 0)):
        noising = ddpm(Config(prediction=prediction))
        kept = noising.alphas_cumprod[times].double()
        snr = kept / (1 - kept)
        expected = torch.minimum(snr, torch.tensor(5.0)) / (snr + beside)
        assert torch.allclose(weights_of(noising, times, 5.0).double(), expected, rtol=1e-4)
        assert weights_of(noising, times, 0.0).tolist() == [1, 1, 1]


def test_velocity_and_noise_are_what_the_names_say():
    clip, noise = torch.randn(2, 3, 1, 2, 8, 8).unbind()
    times = torch.tensor([3, 500, 990])
    assert torch.equal(target_of(ddpm(Config(prediction="epsilon")), clip, noise, times), noise)
    noising = ddpm(Config())
    kept = noising.alphas_cumprod[times].view(3, 1, 1, 1, 1)
    velocity = kept.sqrt() * noise - (1 - kept).sqrt() * clip
    assert torch.allclose(target_of(noising, clip, noise, times), velocity, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"size": 18, "patch": 4}, "size: 18 pixels; expected a multiple of 4"),
     ({"levels": 4, "size": 16, "patch": 4}, "expected a multiple of 32"),
     ({"channels": 12}, "channels: 12; expected a multiple of 8"),
     ({"text_width": 20}, "text_width: 20; expected a multiple of 8")],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        build(Config(**settings))


def test_every_parameter_learns_in_color_with_two_levels_and_in_half_precision():
    config = Config(**TINY | {"color": True, "levels": 2, "patch": 2, "channels": 8})
    torch.manual_seed(0)
    model = build(config)
    numbers = torch.zeros(2, config.caption_length, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(torch.randn(2, 3, 2, 16, 16), torch.tensor([5, 900]), numbers)
    assert out.shape == (2, 3, 2, 16, 16)
    out.float().square().mean().backward()
    assert [name for name, one in model.named_parameters() if one.grad is None] == []
