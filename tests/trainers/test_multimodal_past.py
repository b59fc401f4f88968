"""Brains of the past: their checkpoints migrate, and are gone on with."""

from dataclasses import replace

import pytest
import torch

import ckptkit
from ckptkit_trainers.multimodal.config import Config, EvaluateOptions
from ckptkit_trainers.multimodal.evaluate import evaluate
from ckptkit_trainers.multimodal.migrators import MIGRATORS
from ckptkit_trainers.multimodal.model import Brain
from ckptkit_trainers.multimodal.parts import parts_of
from ckptkit_trainers.multimodal.source import open_source
from tests.trainers.multimodal_small import TINY, Trained, painted
from tests.trainers.seeds_multimodal import save_new_format, save_old_format


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return painted(tmp_path_factory.mktemp("flickr") / "data")


def brain_of_today(data):
    config = Config(data=str(data), **TINY)
    return Brain(config, parts_of(config, open_source(config)), pretrained=False)


def filled(path, data):
    brain = brain_of_today(data)
    report = ckptkit.restore(
        path, {"model": brain}, mode="warm-start", trainer="multimodal", migrators=MIGRATORS
    )
    return brain.eval(), report


@pytest.mark.parametrize("save", [save_new_format, save_old_format])
def test_what_the_old_code_saw_todays_brain_sees(tmp_path, data, save):
    saved = save(tmp_path / "best_brain_v2.pt")
    old = (saved[0] if isinstance(saved, tuple) else saved).eval()
    brain, report = filled(tmp_path / "best_brain_v2.pt", data)
    pixels, text = (
        torch.rand(3, 3, 16, 16),
        torch.tensor([[3, 9, 8, 7], [3, 5, 0, 0], [3, 7, 7, 0]]),
    )
    with torch.no_grad():
        views = brain.embed({"image": pixels, "text": text})
        assert torch.allclose(views["image"], old.image(pixels), atol=1e-5)
        assert torch.allclose(views["text"], old.text(text), atol=1e-5)
    led = [line.partition(":")[0] for line in report.migrated]
    assert led[-2:] == ["model 1 to 2", "model 2 to 3"]


def migrated(source, target, version):
    versions = ckptkit.Versions(
        trainer="multimodal", to={"model": version}, migrators=tuple(MIGRATORS)
    )
    ckptkit.migrate(source, target, ckptkit.MigrateOptions(versions=versions))


def test_a_new_row_is_all_that_sound_adds_and_going_back_takes_it_away(tmp_path, data):
    old, _ = save_new_format(tmp_path / "old.pt")
    migrated(tmp_path / "old.pt", tmp_path / "new", 3)
    with ckptkit.load(tmp_path / "new") as new:
        kinds = new.state("model")["kinds"]
    assert torch.equal(kinds[:2], old.modality_emb)
    assert not kinds[2].any()
    migrated(tmp_path / "new", tmp_path / "back", 1)
    with ckptkit.load(tmp_path / "back") as back:
        state = back.state("model")
    assert state.keys() == old.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in old.state_dict().items())


def test_vit_layers_of_transformers_4_get_the_names_of_5():
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                       intermediate_size=16, image_size=8, patch_size=4)  # fmt: skip
    names = list(ViTModel(config, add_pooling_layer=False).state_dict())
    of_4 = {"layers.0.attention.q_proj": "encoder.layer.0.attention.attention.query",
            "layers.0.attention.k_proj": "encoder.layer.0.attention.attention.key",
            "layers.0.attention.v_proj": "encoder.layer.0.attention.attention.value",
            "layers.0.attention.o_proj": "encoder.layer.0.attention.output.dense",
            "layers.0.mlp.fc1": "encoder.layer.0.intermediate.dense",
            "layers.0.mlp.fc2": "encoder.layer.0.output.dense",
            "layers.0.layernorm": "encoder.layer.0.layernorm"}  # fmt: skip
    old = {}
    for name in names:
        new = next((name.replace(a, b) for a, b in of_4.items() if name.startswith(a)), name)
        old[f"image.encoder.{new}"] = 1
    state, _ = MIGRATORS[0].operations[-1].apply(old)
    assert sorted(state) == sorted(f"image.encoder.{name}" for name in names)


def test_the_new_format_goes_on_with_epoch_step_best_optimizer_and_schedule(tmp_path, data):
    path = tmp_path / "best_brain_v2.pt"
    _, _optimizer = save_new_format(path)
    one = Trained(tmp_path / "runs", data, resume=str(path), epochs=44, lr=2e-4, precision="fp16")
    assert "resumed from" in one.said
    assert "epoch 43, step 158250" in one.said
    assert "optimizer  restored" in one.said
    assert "scaler     restored" in one.said
    assert "Best validation loss: 0.2345" in one.said
    assert "Training epochs:      43 -> 44" in one.said
    assert "the schedule begins at epoch 43, where the run stands" in one.said
    assert "scheduler" in one.said
    assert "random streams" in one.said
    with ckptkit.load(one.at("latest_checkpoint")) as now:
        assert now.state("progress")["epochs_completed"] == 44
        assert now.state("progress")["optimizer_steps"] == 158250 + 3
        assert now.state("scheduler")["last_epoch"] == 44
        assert now.state("metrics")["best"]["value"] == 0.2345
        steps = {float(s["step"]) for s in now.state("optimizer")["state"].values()}
    assert steps == {3.0 + 3.0}  # the old moments went on, at every parameter
    assert not (one.at("best_model")).exists()  # nothing was better than 0.2345


def test_the_old_format_goes_on_from_its_weights_and_says_what_it_lacks(tmp_path, data):
    path = tmp_path / "best_brain_v2.pt"
    save_old_format(path)
    one = Trained(tmp_path / "runs", data, resume=str(path), epochs=1)
    assert "epoch 0, step 0" in one.said
    assert "it does not say how far training was: counting begins at 0" in one.said
    for lacking in ("optimizer", "scheduler"):
        assert any(lacking in line and "allowed" in line for line in one.said.splitlines()), lacking
    found = evaluate(one.at("final_model"), one.config, EvaluateOptions())
    assert found["epoch"] == 1


def test_another_width_of_the_shared_space_is_refused(tmp_path, data):
    path = tmp_path / "best_brain_v2.pt"
    save_new_format(path)
    with pytest.raises(ckptkit.CkptkitError, match="d_shared is 32 and was 24"):
        Trained(tmp_path / "runs", data, resume=str(path), epochs=44, d_shared=32)


def test_an_old_file_can_be_evaluated_as_it_is(tmp_path, data):
    path = tmp_path / "best_brain_v2.pt"
    save_new_format(path)
    config = replace(Config(data=str(data), **TINY))
    found = evaluate(path, config, EvaluateOptions())
    assert (found["epoch"], found["step"]) == (43, 158250)
    (row,) = (one for one in found["recall"] if one["search"] == "text to image")
    assert set(row) == {"search", "R@1", "R@5", "R@10", "median_rank"}
