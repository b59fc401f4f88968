"""The multimodal trainer as a whole: what it writes, and what may change when it goes on."""

import json
import shutil

import pytest
import torch
from PIL import Image

import ckptkit
from ckptkit.errors import CkptkitError, MismatchError
from ckptkit_trainers.multimodal.config import EvaluateOptions, SampleOptions
from ckptkit_trainers.multimodal.evaluate import evaluate
from ckptkit_trainers.multimodal.sample import sample
from tests.trainers.multimodal_small import Trained, painted


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return painted(tmp_path_factory.mktemp("flickr") / "data", sounds=True)


@pytest.fixture(scope="module")
def once(tmp_path_factory, data):
    """A training of two epochs with everything switched on; nobody writes into its folder."""
    return Trained(tmp_path_factory.mktemp("once"), data, sample_every=1, tensorboard=True)


@pytest.fixture
def copied(once, tmp_path):
    """The folder of a copy of it, to go on in."""
    shutil.copytree(once.run, tmp_path / "runs" / once.run.name, symlinks=True)
    return tmp_path / "runs"


def weights(checkpoint):
    with ckptkit.load(checkpoint) as opened:
        return opened.state("model")


def inode(checkpoint, name):
    return (checkpoint / name).stat().st_ino


# -- what it writes --------------------------------------------------------------------------------


def test_a_sheet_of_retrievals_is_a_picture_with_green_frames_and_captions(once):
    with Image.open(once.run / "samples" / "epoch_002.png") as page:
        colours = {colour for _, colour in page.convert("RGB").getcolors(1 << 20)}
        assert page.width > 300
    assert {(0, 128, 0), (255, 255, 255), (0, 0, 0)} <= colours


def test_history_has_losses_and_both_ways_of_finding(once):
    history = json.loads((once.run / "history.json").read_text())
    for name in (
        "lr",
        "train_loss",
        "train_contrastive",
        "train_words",
        "val_loss",
        "text_to_image R@1",
        "image_to_text R@10",
    ):
        assert len(history[name]) == 2, name
    assert ckptkit.verify(once.at("best_model")).verdict == "verified"


def test_it_learns_to_find_what_it_was_shown(tmp_path, data):
    one = Trained(tmp_path, data, epochs=14, lr=4e-3, dropout=0.0, augment=0.0, batch_size=12,
                  save_every_epochs=14)  # fmt: skip
    losses = json.loads((one.run / "history.json").read_text())["train_contrastive"]
    assert losses[-1] < 0.7 * losses[0]


def test_gradients_of_several_batches_make_one_step(tmp_path, data):
    one = Trained(tmp_path, data, epochs=1, accumulate=3, clip=0.0)
    with ckptkit.load(one.at("final_model")) as last:
        assert last.state("progress")["optimizer_steps"] == 1


# -- frozen encoders -------------------------------------------------------------------------------


def test_frozen_encoders_are_stored_once_and_never_change(tmp_path, data):
    one = Trained(tmp_path, data, freeze="both")
    first, second = one.at("checkpoint_epoch_1"), one.at("checkpoint_epoch_2")
    frozen, trained = "model-frozen.safetensors", "model-trainable.safetensors"
    assert inode(first, frozen) == inode(second, frozen)
    assert inode(first, trained) != inode(second, trained)
    before, after = weights(first), weights(second)
    kept = [name for name in before if ".encoder." in name]
    assert len(kept) > 40
    assert all(torch.equal(before[name], after[name]) for name in kept)  # BatchNorm's averages, too
    assert not torch.equal(before["adapters.text.weight"], after["adapters.text.weight"])


def test_only_the_encoder_that_was_named_is_frozen(tmp_path, data):
    one = Trained(tmp_path, data, freeze="text")
    before, after = weights(one.at("checkpoint_epoch_1")), weights(one.at("checkpoint_epoch_2"))
    still = {name.partition(".")[0] for name in before if torch.equal(before[name], after[name])}
    moved = {
        name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])
    }
    assert "text" in still - moved
    assert "image" in moved


# -- going on --------------------------------------------------------------------------------------


def test_going_on_says_all_that_the_hand_made_script_said(copied, data):
    one = Trained(copied, data, resume="auto", epochs=3, tensorboard=True, sample_every=1)
    said = one.said
    assert "checkpoint_epoch_2: epoch 2, step 6" in said  # starting epoch, global step
    assert "model      restored" in said
    assert "optimizer  restored" in said
    for line in ("Train samples:        12", "Val samples:          4", "Device:               cpu",
                 "Precision:            fp32", "Batch size:           4",
                 "Learning rate:        0.001", "Training epochs:      2 -> 3"):  # fmt: skip
        assert line in said
    with ckptkit.load(one.at("checkpoint_epoch_2")) as before:
        best = before.state("metrics")["best"]["value"]
    assert f"Best validation loss: {best:.4f}" in said


def test_lr_batch_size_precision_epochs_and_logdir_may_change(copied, data, tmp_path):
    logs = tmp_path / "elsewhere"
    one = Trained(copied, data, resume="auto", epochs=3, lr=5e-4, batch_size=6, precision="bf16",
                  tensorboard=True, logdir=str(logs), sample_every=1)  # fmt: skip
    changed = {line.split()[0] for line in one.said.splitlines() if len(line.split()) == 4}
    assert {"epochs", "lr", "batch_size", "precision"} <= changed
    assert list(logs.glob("events.out.tfevents.*"))
    assert len(list((one.run / "logs").iterdir())) == 1  # that of the training before
    with ckptkit.load(one.at("final_model")) as last:
        assert last.state("progress")["epochs_completed"] == 3
        assert last.state("progress")["optimizer_steps"] == 6 + 2
        assert last.state("optimizer")["param_groups"][0]["initial_lr"] == 5e-4


def test_another_architecture_is_refused_by_its_name(copied, data):
    with pytest.raises(CkptkitError, match="d_shared is 32 and was 24"):
        Trained(copied, data, resume="auto", epochs=3, d_shared=32)


def test_sound_is_switched_on_later_and_what_is_new_is_told(copied, data):
    one = Trained(copied, data, resume="auto", epochs=3, audio=True)
    assert "Modalities:           images, texts, sounds" in one.said
    assert "adapters.sound.weight" in one.said
    assert "not in the checkpoint; keeps its value, as allowed" in one.said
    after = weights(one.at("final_model"))
    assert any(name.startswith("sound.") for name in after)
    found = evaluate(one.at("final_model"), one.config, EvaluateOptions())
    searches = {row["search"] for row in found["recall"]}
    assert searches >= {"sound to image", "text+sound to image", "image to text"}


def test_sound_is_switched_off_only_by_force(tmp_path, data):
    one = Trained(tmp_path, data, epochs=1, audio=True)
    with pytest.raises(MismatchError, match="sound"):
        Trained(tmp_path, data, resume="auto")
    assert ckptkit.verify(one.at("final_model")).verdict == "verified"
    again = Trained(tmp_path, data, resume="auto", force=True)
    assert not any(name.startswith("sound.") for name in weights(again.at("final_model")))


def test_the_words_of_a_checkpoint_go_on_with_it_whatever_the_captions_are_now(
    copied, once, data, tmp_path
):
    other = shutil.copytree(data, tmp_path / "other")
    text = (other / "captions.txt").read_text()
    (other / "captions.txt").write_text(text.replace("circle", "disc").replace("square", "box"))
    one = Trained(copied, other, resume="auto", epochs=3)
    with ckptkit.load(one.at("final_model")) as now, ckptkit.load(once.at("final_model")) as before:
        assert now.state("parts") == before.state("parts")


# -- asking ----------------------------------------------------------------------------------------


def test_a_caption_finds_pictures_and_writes_a_sheet_and_its_json(once, tmp_path):
    options = SampleOptions(text="a red circle", top=3, out=str(tmp_path))
    told = sample(once.at("final_model"), once.config, options)
    assert (told["epoch"], told["step"]) == (2, 6)
    assert [row["rank"] for row in told["found"]] == [1, 2, 3]
    scores = [row["score"] for row in told["found"]]
    assert scores == sorted(scores, reverse=True)
    assert len({row["name"] for row in told["found"]}) == 3  # each picture once
    with Image.open(told["sheet"]) as page:
        assert page.format == "PNG"
    assert json.loads((tmp_path / "a_red_circle.json").read_text())["found"] == told["found"]


def test_a_picture_finds_captions_of_the_split_that_was_asked_for(once, data, tmp_path):
    options = SampleOptions(
        image=str(data / "Images" / "2_blue.jpg"), among="test", out=str(tmp_path)
    )
    told = sample(once.at("best_model"), once.config, options)
    assert {row["split"] for row in told["found"]} == {"test"}
    assert len({row["caption"] for row in told["found"]}) == len(told["found"]) == 4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "asked for nothing"),
        ({"text": "a", "image": "b"}, "asked for both"),
        ({"image": "nowhere.png"}, "nowhere.png: is not there"),
        ({"image": __file__}, "is no picture, whatever its name says"),
    ],
)
def test_a_wrong_question_is_answered_with_the_right_one(once, options, told):
    with pytest.raises(CkptkitError, match=told):
        sample(once.at("final_model"), once.config, SampleOptions(**options))


def test_a_split_that_holds_nothing_is_told_with_those_that_hold_something(once, data, tmp_path):
    other = shutil.copytree(data, tmp_path / "other")
    (other / "Flickr_8k.testImages.txt").unlink()
    with pytest.raises(CkptkitError, match="'test' holds no pair of the data; expected train, val"):
        evaluate(once.at("final_model"), once.config, EvaluateOptions(data=str(other)))


def test_a_checkpoint_needs_no_folder_of_its_encoders_any_more(tmp_path, data):
    from transformers import ResNetConfig, ResNetModel

    home = tmp_path / "resnet"
    ResNetModel(
        ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    ).save_pretrained(home)
    one = Trained(tmp_path / "runs", data, image_from=str(home), freeze="image", epochs=1)
    before = evaluate(one.at("final_model"), one.config, EvaluateOptions())
    shutil.rmtree(home)
    assert evaluate(one.at("final_model"), one.config, EvaluateOptions()) == before


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"heads": 5}, "width: 16; expected a multiple of heads, which is 5"),
        ({"width": 20, "audio": True, "heads": 4}, "width: 20; expected a multiple of 8"),
        ({"vocabulary": 9}, "vocabulary: 9 pieces; expected .* or more"),
        ({"batch_size": 1}, "batch-size.*is 1"),
        ({"sound_seconds": 0.0}, "sound-seconds"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_anything_is_made(
    tmp_path, data, settings, told
):
    with pytest.raises(CkptkitError, match=told):
        Trained(tmp_path / "runs", data, **settings)
    assert not (tmp_path / "runs").exists()
