"""The segmentation trainer: what it keeps of every trainer's contract, and what is its own."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from PIL import Image  # noqa: E402

import ckptkit  # noqa: E402
from ckptkit.cli.main import app  # noqa: E402
from ckptkit.errors import MismatchError, NotFoundError, SettingError  # noqa: E402
from ckptkit.testing.trainer_contract import TrainerContract, final_of  # noqa: E402
from ckptkit_trainers.segmentation.buildformer import WindowAttention  # noqa: E402
from ckptkit_trainers.segmentation.config import (  # noqa: E402
    Config,
    EvaluateOptions,
    SampleOptions,
)
from ckptkit_trainers.segmentation.evaluate import evaluate  # noqa: E402
from ckptkit_trainers.segmentation.metrics import Scores, boundary  # noqa: E402
from ckptkit_trainers.segmentation.model import begin_with, build, logits_of  # noqa: E402
from ckptkit_trainers.segmentation.sample import sample  # noqa: E402
from ckptkit_trainers.segmentation.train import train  # noqa: E402

TINY = {"variant": "micro", "width": 8, "window": 4, "size": 32, "tiles": 12, "val_tiles": 3,
        "batch_size": 2, "tensorboard": False, "device": "cpu"}  # fmt: skip
MODELS = ("unet", "buildformer", "segformer")


class TestSegmentation(TrainerContract):
    trainer = "segmentation"
    tiny = {**TINY, "model": "segformer", "epochs": 2, "sample_every": 0}
    architecture = {"model": "unet", "variant": "b0"}
    free = {"epochs": 3, "lr": 1e-4, "batch_size": 4, "precision": "bf16", "size": 64}
    actions = {
        "sample": {"out": "{tmp}/pictures", "number": 1},
        "evaluate": {"thresholds": "0.4,0.6"},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A SegFormer that was trained for two epochs; its run folder."""
    folder = tmp_path_factory.mktemp("run")
    train(Config(model="segformer", epochs=2, **TINY), folder, resume="never", tell=lambda _: None)
    return next(folder.iterdir())


def best(run):
    return run / "checkpoints" / "best_model"


def settings(**more):
    return replace(Config(model="segformer", epochs=2, **TINY), **more)


# -- training -------------------------------------------------------------------------------------


def test_every_epoch_has_its_checkpoint_its_row_and_its_picture(run):
    names = {one.name for one in (run / "checkpoints").iterdir()}
    assert names == {"checkpoint_epoch_1", "checkpoint_epoch_2", "latest_checkpoint",
                     "best_model", "final_model"}  # fmt: skip
    history = json.loads((run / "history.json").read_text())
    assert {"train_loss", "val_loss", "val_iou", "val_f1", "val_boundary_f1", "lr"} <= set(history)
    with Image.open(run / "samples" / "epoch_002.png") as picture:
        assert picture.size[0] > 4 * 32
        assert len(picture.getcolors(100_000)) > 100  # a picture, not a blank page


@pytest.mark.parametrize("model", MODELS)
def test_each_architecture_learns_what_it_is_shown(model):
    torch.manual_seed(0)
    net = build(Config(model=model, **TINY)).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    x = torch.randn(4, 3, 32, 32)
    y = (x.mean(1, keepdim=True) > 0).float()
    y = torch.nn.functional.max_pool2d(y, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    y[:, :, :16] = 0
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits_of(net, x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("model", MODELS)
def test_half_precision_computes_much_the_same(model, precision):
    torch.manual_seed(0)
    net, x = build(Config(model=model, **TINY)).eval(), torch.randn(2, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", precision):
        half = logits_of(net, x).float()
    with torch.no_grad():
        assert torch.allclose(half, logits_of(net, x), atol=0.05)


def test_attention_in_windows_is_that_of_all_pairs_where_one_window_is_all():
    torch.manual_seed(0)
    attention, x = WindowAttention(16, 8), torch.randn(2, 5, 8, 16)  # padded to 8 x 8
    q, k, v = (part(x).flatten(1, 2) for part in (attention.query, attention.key, attention.value))
    q, k = (torch.nn.functional.normalize(one, dim=-1) for one in (q, k))
    weights = 1 + q @ k.transpose(1, 2)
    wanted = attention.out(weights @ v / weights.sum(-1, keepdim=True)).view_as(x)
    assert torch.allclose(attention(x), wanted, atol=1e-5)


def test_weights_follow_from_the_seed_alone():
    made = []
    for _ in range(2):
        torch.manual_seed(4)
        made.append(build(Config(model="buildformer", **TINY)).state_dict())
    assert all(torch.equal(value, made[1][name]) for name, value in made[0].items())


@pytest.mark.parametrize(
    ("changes", "steps"), [({"accumulate": 2}, 3), ({"limit": 4}, 2), ({"precision": "fp16"}, 6)]
)
def test_options_change_the_training(tmp_path, changes, steps):
    config = replace(Config(model="unet", epochs=1, sample_every=0, **TINY), width=4, **changes)
    train(config, tmp_path, resume="never", tell=lambda _: None)
    with ckptkit.load(next(tmp_path.glob("*/checkpoints/final_model"))) as final:
        assert final.state("progress")["optimizer_steps"] == steps
        assert ("scaler" in final.document) == (config.precision == "fp16")


def test_the_last_of_every_epoch_and_every_second_one_stay(tmp_path):
    tiny = {**TINY, "tiles": 4, "val_tiles": 1, "width": 4}
    config = Config(model="unet", epochs=3, keep_last=1, keep_every=2, best="val_loss", **tiny)
    train(replace(config, sample_every=0), tmp_path, resume="never", tell=lambda _: None)
    numbered = {one.name for one in tmp_path.glob("*/checkpoints/checkpoint_*")}
    with ckptkit.load(next(tmp_path.glob("*/checkpoints/best_model"))) as best_one:
        best_epoch = best_one.state("progress")["epochs_completed"]
    wanted = {"checkpoint_epoch_2", "checkpoint_epoch_3", f"checkpoint_epoch_{best_epoch}"}
    assert numbered == wanted


def test_the_self_test_compares_what_the_weights_compute(run, tmp_path):
    told = []
    again = {"resume": str(best(run)), "self_test": True, "tell": told.append}
    train(settings(), tmp_path, **again)
    assert any("self-test: the probe gives the bits" in one for one in told)
    with ckptkit.load(best(run)) as checkpoint:
        changed = {name: checkpoint.state(name) for name in checkpoint.document}
    changed["model"]["decode_head.classifier.bias"].detach().add_(1)
    ckptkit.save(tmp_path / "changed", changed, trainer="segmentation", versions={"model": 2})
    with pytest.raises(MismatchError, match="probe"):
        train(settings(), tmp_path / "no", **again | {"resume": str(tmp_path / "changed")})


@pytest.mark.parametrize("option", ["--checkpoint", "--resume-from"])
def test_the_options_of_the_scripts_go_on_from_the_checkpoint_that_they_name(tmp_path, option):
    train(settings(epochs=1), tmp_path / "runs")
    words = ["train", "segmentation", "--out", str(tmp_path / "runs"), "--epochs", "2"]
    done = CliRunner().invoke(app, [*words, option, str(final_of(tmp_path / "runs"))])
    assert done.exit_code == 0, done.output
    (history,) = (tmp_path / "runs").glob("*/history.json")
    assert json.loads(history.read_text())["epoch"] == [1, 2]


def test_of_a_folder_every_picture_is_looked_at_and_none_overwrites_another(run, tmp_path):
    given, out = tmp_path / "given", tmp_path / "out"
    given.mkdir()
    for name in ("a.png", "a.jpg", "b.png", "c.png", "d.png", "e.png"):
        Image.new("RGB", (40, 40), "gray").save(given / name)
    sample(best(run), settings(), SampleOptions(input=str(given), out=str(out), device="cpu"))
    assert {path.name for path in out.glob("*_mask.png")} == {
        "a.png_mask.png", "a.jpg_mask.png", "b_mask.png", "c_mask.png", "d_mask.png", "e_mask.png",
    }  # fmt: skip


# -- SegFormer and transformers -------------------------------------------------------------------


def test_a_checkpoint_is_a_folder_that_from_pretrained_opens(run):
    from transformers import SegformerForSemanticSegmentation

    theirs, told = SegformerForSemanticSegmentation.from_pretrained(
        best(run), output_loading_info=True
    )
    assert not any(told.values())
    with ckptkit.load(best(run)) as checkpoint:
        ours = checkpoint.state("model")
    assert all(torch.equal(value, ours[name]) for name, value in theirs.state_dict().items())
    assert theirs.config.num_labels == 1
    assert json.loads((best(run) / "preprocessor_config.json").read_text())["image_mean"]


def test_a_folder_of_transformers_gives_the_weights_to_begin_with(run, tmp_path):
    config = settings(pretrained=str(tmp_path / "hub"))
    donor = build(config)
    donor.save_pretrained(tmp_path / "hub")
    begun = begin_with(build(config), config)
    name = "segformer.stages.1.blocks.0.attention.q_proj.weight"
    assert torch.equal(begun.state_dict()[name], donor.state_dict()[name])
    with pytest.raises(MismatchError, match="--variant"):
        begin_with(build(config), replace(config, variant="b0"))
    with pytest.raises(NotFoundError, match="nothing is downloaded"):
        begin_with(build(config), replace(config, pretrained="nvidia/mit-b0"))


def test_a_head_of_another_width_begins_afresh_and_the_folder_opens_again(tmp_path):
    from transformers import SegformerForSemanticSegmentation

    donor = build(settings())
    wider = donor.config
    wider.decoder_hidden_size = 24
    SegformerForSemanticSegmentation(wider).save_pretrained(tmp_path / "hub")
    config = settings(pretrained=str(tmp_path / "hub"), epochs=1)
    train(config, tmp_path / "run")
    _, told = SegformerForSemanticSegmentation.from_pretrained(
        final_of(tmp_path / "run"), output_loading_info=True
    )
    assert not any(told.values())


def test_a_folder_of_another_model_is_refused_by_its_type(tmp_path):
    from transformers import BertConfig

    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(MismatchError, match="of the type 'bert'; expected a SegFormer"):
        begin_with(build(settings()), settings(pretrained=str(tmp_path)))


def test_a_checkpoint_gives_the_weights_to_begin_with(run):
    config = settings(pretrained=str(best(run)))
    begun = begin_with(build(config), config)
    with ckptkit.load(best(run)) as checkpoint:
        stored = checkpoint.state("model")
    assert all(torch.equal(value, stored[name]) for name, value in begun.state_dict().items())


# -- sample and evaluate --------------------------------------------------------------------------


def test_sample_writes_masks_and_overlays_of_held_out_patches(run, tmp_path):
    told = sample(best(run), settings(), SampleOptions(out=str(tmp_path), number=2))
    assert told["epoch"] in (1, 2)
    assert told["step"] == 6 * told["epoch"]
    assert [one["picture"] for one in told["pictures"]] == ["held_out_0", "held_out_1"]
    with Image.open(tmp_path / "held_out_1_mask.png") as mask:
        assert mask.size == (32, 32)
        share = sum(value > 0 for value in mask.convert("L").tobytes()) / 32**2
    assert told["pictures"][1]["building"] == pytest.approx(share, abs=1e-4)


def test_sample_takes_pictures_of_any_size(run, tmp_path):
    (tmp_path / "in").mkdir()
    Image.effect_noise((75, 20), 80).convert("RGB").save(tmp_path / "in" / "wide.jpg")
    Image.effect_noise((40, 90), 80).save(tmp_path / "in" / "grey.png")
    options = SampleOptions(input=str(tmp_path / "in"), out=str(tmp_path / "out"), number=0)
    told = sample(best(run), settings(), options)
    assert [one["picture"] for one in told["pictures"]] == ["grey", "wide"]
    with Image.open(tmp_path / "out" / "wide_mask.png") as mask:
        assert mask.size == (75, 20)


def test_the_threshold_of_sample_counts(run, tmp_path):
    shares = []
    for threshold in (0.01, 0.99):
        options = SampleOptions(out=str(tmp_path), number=1, threshold=threshold)
        shares.append(sample(best(run), settings(), options)["pictures"][0]["building"])
    assert shares[0] > shares[1]


def test_sample_says_what_is_not_there(run, tmp_path):
    with pytest.raises(NotFoundError, match="is not there"):
        sample(best(run), settings(), SampleOptions(input=str(tmp_path / "no.png")))
    with pytest.raises(NotFoundError, match="holds no picture"):
        sample(best(run), settings(), SampleOptions(input=str(tmp_path)))


def test_evaluate_has_a_row_for_each_split_and_threshold(run, tmp_path):
    options = EvaluateOptions(out=str(tmp_path), thresholds="0.3,0.7", baseline=True)
    told = evaluate(best(run), settings(), options)
    rows = {(row["split"], row["threshold"]): row for row in told["scores"]}
    assert set(rows) == {(s, t) for s in ("train", "val") for t in (0.3, 0.7)}
    assert rows["train", 0.3]["patches"] == 12
    assert all(0 <= row["iou"] <= row["f1"] <= 1 for row in told["scores"])
    assert set(told["colour_alone"]) == {"threshold_iou", "regression_iou"}
    assert Path(tmp_path, "val.png").stat().st_size > 1000
    with pytest.raises(SettingError, match="probabilities between 0 and 1"):
        evaluate(best(run), settings(), EvaluateOptions(thresholds="0.3;0.5"))


def test_evaluation_agrees_with_what_the_training_saw(run):
    history = json.loads((run / "history.json").read_text())
    told = evaluate(best(run), settings(), EvaluateOptions(thresholds="0.5"))
    row = next(row for row in told["scores"] if row["split"] == "val")
    assert row["iou"] == pytest.approx(max(history["val_iou"]), abs=1e-3)


# -- the numbers ----------------------------------------------------------------------------------


def scored(guess, truth, reach=1):
    scores = Scores(0.5, reach)
    scores.update((guess.float() * 2 - 1) * 9, truth, torch.tensor(0.0))
    return scores.numbers()


def square(*where):
    mask = torch.zeros(1, 1, 20, 20)
    mask[(..., *where)] = 1
    return mask


def test_iou_f1_and_boundary_f1_of_known_masks():
    truth = square(slice(5, 15), slice(5, 15))
    assert scored(truth, truth)["boundary_f1"] == pytest.approx(1)
    half = scored(square(slice(5, 10), slice(5, 15)), truth)
    assert half["iou"] == pytest.approx(0.5)
    assert half["f1"] == pytest.approx(2 / 3)
    moved = square(slice(7, 17), slice(5, 15))
    assert scored(moved, truth, reach=2)["boundary_f1"] > 0.99
    assert scored(moved, truth, reach=0)["boundary_f1"] < 0.6
    assert scored(square(slice(0, 3), slice(0, 3)), truth)["boundary_f1"] == 0


def test_the_edge_of_the_picture_is_no_boundary():
    assert boundary(torch.ones(1, 1, 6, 6).int()).sum() == 0
    assert boundary(square(slice(0, 10), slice(0, 20)).int()).sum() == 20
