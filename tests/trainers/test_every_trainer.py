"""What holds of all four trainers, each at its smallest."""

import pytest

import ckptkit
from ckptkit.errors import MismatchError, SettingError, WriteFailedError
from tests.plugins.whose import each

SMALL = {
    "diffusion": {"clips": 8, "val_clips": 4, "patch": 4, "channels": 8, "text_width": 16,
                  "text_layers": 1, "sample_steps": 2},
    "segmentation": {"tiles": 8, "val_tiles": 4, "width": 8, "size": 32},
    "multimodal": {"limit": 8, "width": 16, "d_shared": 16, "image_size": 16, "sample_every": 0},
    "restoration": {"patches": 8, "width": 4, "depth": 2, "patch": 32, "val_size": 48},
}  # fmt: skip
EACH = pytest.mark.parametrize("name", each(sorted(SMALL)))


LOOKED_AT = {
    "diffusion": ({"num_samples": 1, "steps": 1}, {"clips": 4, "samples_each": 0}),
    "segmentation": ({"number": 1}, {"limit": 2}),
    "multimodal": ({"text": "GREEK SMALL LETTER ALPHA", "top": 2}, {"split": "val"}),
    "restoration": ({"tile": 256}, {"levels": "25"}),
}  # the options of sample, and of evaluate


def settings(name, **more):
    return {**SMALL[name], "batch_size": 4, "device": "cpu", "tensorboard": False, **more}


@EACH
def test_the_rate_that_is_told_of_an_epoch_is_the_one_it_trained_with(name, tmp_path):
    run = ckptkit.trainer(name).train(tmp_path, **settings(name, epochs=2, lr=0.004))
    assert run.history["lr"] == pytest.approx([0.004, 0.002])
    assert {"train_loss", "val_loss"} <= set(run.history)


@EACH
def test_the_self_test_compares_what_the_weights_compute(name, tmp_path):
    trainer, told = ckptkit.trainer(name), []
    run = trainer.train(tmp_path / "runs", **settings(name, epochs=1))
    best = run.folder / "checkpoints" / "best_model"
    tested = {"self_test": True, "tell": told.append}
    trainer.train(tmp_path / "runs", resume=best, run=tested, epochs=1)
    assert any("self-test: the probe gives the bits" in one for one in told)
    with ckptkit.load(best) as checkpoint:
        changed = {section: checkpoint.state(section) for section in checkpoint.document}
    for weights in (changed["model"], changed.get("ema", {}).get("weights", {})):
        for tensor in weights.values():
            tensor.detach().add_(0.01 if tensor.is_floating_point() else 0)
    ckptkit.save(tmp_path / "changed", changed, trainer=name, versions=trainer.offer.versions)
    with pytest.raises(MismatchError, match=r"probe: .* after the resume"):
        trainer.train(tmp_path / "no", resume=tmp_path / "changed", run=tested, epochs=1)


@EACH
def test_a_target_of_no_epoch_is_a_mistake_and_leaves_no_run_behind(name, tmp_path):
    with pytest.raises(SettingError, match="--epochs: is 0; expected 1 or more"):
        ckptkit.trainer(name).train(tmp_path / "none", **settings(name, epochs=0))
    assert not (tmp_path / "none").exists()


@EACH
def test_what_was_not_told_where_to_go_lies_in_the_run_and_figures_are_rows(
    name, tmp_path, monkeypatch
):
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    trainer = ckptkit.trainer(name)
    run = trainer.train(tmp_path / "runs", **settings(name, epochs=1, sample_every=0))
    drawn, measured = LOOKED_AT[name]
    trainer.sample(run.folder, **drawn)
    assert [one.suffix for one in (run.folder / "samples").iterdir()]
    found = trainer.evaluate(run.folder, **measured)
    assert "results" not in found
    tables = [value for value in found.values() if isinstance(value, (list, dict))]
    assert tables
    assert all(isinstance(table, list) for table in tables)
    assert not [cell for table in tables for row in table for cell in row.values()
                if isinstance(cell, (list, dict))]  # fmt: skip
    assert not [*place.iterdir()]
    (tmp_path / "file").touch()
    with pytest.raises(WriteFailedError, match="not a directory"):
        trainer.sample(run.folder, **drawn, out=str(tmp_path / "file" / "out"))


@EACH
def test_every_so_many_steps_and_every_epoch_have_their_checkpoint_and_the_latest_its_name(
    name, tmp_path
):
    run = ckptkit.trainer(name).train(
        tmp_path, **settings(name, epochs=2, sample_every=0, save_every_steps=1, limit=8)
    )
    place = run.folder / "checkpoints"
    assert {"checkpoint_step_1", "checkpoint_epoch_1", "checkpoint_step_3", "checkpoint_epoch_2",
            "latest_checkpoint", "best_model", "final_model"} <= {
        one.name for one in place.iterdir()}  # fmt: skip
    with ckptkit.load(place / "checkpoint_step_3") as stored:
        assert stored.state("progress")["optimizer_steps"] == 3
        assert stored.state("progress")["epochs_completed"] == 1


@EACH
def test_what_processes_load_is_what_the_training_would_have_loaded_itself(name, tmp_path):
    found = [
        ckptkit.trainer(name)
        .train(
            tmp_path / str(workers),
            **settings(name, epochs=2, sample_every=0, workers=workers),
        )
        .history["train_loss"]
        for workers in (0, 2)
    ]
    assert found[0] == found[1]
