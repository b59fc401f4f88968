"""Lightning's own files: written by its Trainer here, and published ones in small."""

import pytest

from ckptkit.nodes import GlobalName, MapNode, Record
from ckptkit.verbs.open import load
from tests.dialects.accounting import (
    adam,
    codes,
    node_of,
    read,
    read_view,
    state_dict,
    tensor,
    view_of,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two epochs of three steps, saved inside an epoch, at its end, and after the fit."""
    import lightning
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint

    folder = tmp_path_factory.mktemp("lightning")

    class Net(lightning.LightningModule):
        def __init__(self, width=4):
            super().__init__()
            self.save_hyperparameters()
            self.module = torch.nn.Sequential(
                torch.nn.Linear(3, width), torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 1)
            )

        def training_step(self, batch, index):
            loss = self.module(batch[0]).pow(2).mean()
            self.log("val_loss", loss)
            return loss

        def configure_optimizers(self):
            optimizer = torch.optim.AdamW(self.parameters(), 1e-3)
            return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)]

    def fit(*callbacks):
        data = torch.utils.data.TensorDataset(torch.randn(12, 3))
        trainer = lightning.Trainer(
            max_epochs=2, callbacks=list(callbacks), logger=False, enable_progress_bar=False,
            enable_model_summary=False, accelerator="cpu", default_root_dir=folder,
            enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        )  # fmt: skip
        trainer.fit(Net(), torch.utils.data.DataLoader(data, batch_size=4))
        return trainer

    best = ModelCheckpoint(folder, "end-{epoch}", monitor="val_loss", mode="min", save_top_k=-1)
    inside = ModelCheckpoint(folder, "inside-{step}", every_n_train_steps=2, save_top_k=-1)
    fit(best, inside).save_checkpoint(folder / "final.ckpt")
    from lightning.pytorch.callbacks import WeightAveraging

    fit(WeightAveraging(), ModelCheckpoint(folder, "averaged", save_top_k=-1))
    fit().save_checkpoint(folder / "weights.ckpt", weights_only=True)
    return folder


@pytest.mark.real_library
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "stored", "completed", "steps"),
    [("inside-step=2", 0, 0, 2), ("end-epoch=0", 0, 1, 3), ("inside-step=4", 1, 1, 4),
     ("end-epoch=1", 1, 2, 6), ("final", 2, 2, 6)],
)  # fmt: skip
def test_progress_counts_epochs_that_reached_their_last_batch(
    trained, name, stored, completed, steps
):
    with load(trained / f"{name}.ckpt") as checkpoint:
        progress = checkpoint.document["progress"]
        assert checkpoint.verdict.dialect.name == "lightning"
        assert progress["as_stored"]["epoch"] == stored
        assert progress["epochs_completed"] == completed
        assert progress["optimizer_steps"] == steps


@pytest.mark.real_library
@pytest.mark.filterwarnings("ignore")
def test_every_part_is_in_its_section(trained):
    with load(trained / "end-epoch=1.ckpt") as checkpoint:
        document = checkpoint.document
        assert "module.0.weight" in document["model"]  # its own attribute, no wrapper's prefix
        assert len(document["optimizer"]["state"]) == 6
        assert document["scheduler"]["last_epoch"] == 2
        assert document["config"]["width"] == 4
        best = document["metrics"]["best"]
        assert (best["name"], best["mode"]) == ("val_loss", "min")
        assert best["where"].endswith(".ckpt")
        assert {"loops", "callbacks", "pytorch-lightning_version"} <= set(document["extra"])
        assert "absolute-path" in {notice.code for notice in checkpoint.notices}


@pytest.mark.real_library
@pytest.mark.filterwarnings("ignore")
def test_an_averaging_callback_swaps_raw_and_average(trained):
    import torch

    path = trained / "averaged.ckpt"
    live = torch.load(path, weights_only=False)
    with load(path) as checkpoint:
        document = checkpoint.document
        raw, average = live["current_model_state"], live["state_dict"]
        assert list(document["model"]) == list(raw)
        assert list(document["ema"]["weights"]) == list(average)
        assert (
            read_values(document["model"]["module.0.weight"])
            == raw["module.0.weight"].numpy().tobytes()
        )
        ema = read_values(document["ema"]["weights"]["module.0.weight"])
        assert ema == average["module.0.weight"].numpy().tobytes()
        assert ema != read_values(document["model"]["module.0.weight"])
        assert "updates" in document["ema"]


@pytest.mark.real_library
@pytest.mark.filterwarnings("ignore")
def test_weights_only_says_so(trained):
    with load(trained / "weights.ckpt") as checkpoint:
        assert "optimizer" not in checkpoint.document
        assert "weights-only" in {notice.code for notice in checkpoint.notices}


def read_values(node):
    from ckptkit.containers.logical import logical_source

    source = logical_source(node)
    out = bytearray(source.nbytes)
    source.read_into(0, memoryview(out))
    return bytes(out)


def small(**more):
    progress = {"current": {"ready": 50, "completed": 49, "started": 50, "processed": 50}}
    loops = {
        "fit_loop": {
            "epoch_progress": progress,
            "epoch_loop.batch_progress": {"is_last_batch": True},
        }
    }
    return {"epoch": 49, "global_step": 54800, "pytorch-lightning_version": "2.1.3",
            "state_dict": state_dict(), "loops": loops, **more}  # fmt: skip


def test_a_stripped_file_with_keys_of_its_publisher():
    verdict, reading = read(small(hparams={"n": 1}, hcqt_params={"fmin": 27.5}))
    assert (verdict.dialect.name, verdict.score) == ("lightning", 98)
    assert (reading.document["epoch"], reading.document["epoch_means"]) == (49, "last")
    assert reading.document["step"] == 54800
    assert reading.document["config"]["n"] == 1
    assert "hcqt_params" in reading.document["extra"]
    assert "weights-only" in codes(reading)


def test_hyper_parameters_of_an_attribute_dict_betray_it_without_a_version():
    hparams = Record(GlobalName("lightning.fabric.utilities.data", "AttributeDict"), "new",
                     entries=node_of({"batch_norm": False}))  # fmt: skip
    verdict, reading = read(
        {"hyper_parameters": hparams, "state_dict": state_dict(), "output_columns": ["a"]}
    )
    assert (verdict.dialect.name, verdict.score) == ("lightning", 90)
    assert reading.document["config"] is hparams
    assert "output_columns" in reading.document["extra"]


def test_loops_that_contradict_the_epoch_are_not_believed_blindly():
    value = small()
    value["epoch"] = 7
    _, reading = read(value)
    assert reading.document["epoch_means"] == "unknown"
    assert "epoch-unknown" in codes(reading)


@pytest.mark.parametrize(
    "key", ["MixedPrecision", "MixedPrecisionPlugin", "native_amp_scaling_state"]
)
def test_the_scaler_under_the_name_of_its_plugin(key):
    scaler = {"scale": 1.0, "growth_factor": 2.0}
    _, reading = read(small(**{key: scaler}, datamodule_hyper_parameters={"b": 2}, hyper_parameters={"a": 1},
                            hparams_name="kwargs"))  # fmt: skip
    assert "growth_factor" in reading.document["scaler"]
    assert set(reading.document["config"]) == {"hyper_parameters", "datamodule_hyper_parameters"}
    assert reading.document["extra"]["hparams_name"] == "kwargs"


def test_a_sharded_folder_has_its_progress_in_meta():
    meta = small()
    del meta["state_dict"]
    root = {"model": state_dict(), "optimizer_0": adam(), "meta.pt": meta}
    verdict, reading = read_view(view_of(root, container="dcp"))
    assert (verdict.dialect.name, verdict.score) == ("lightning", 98)
    assert reading.document["step"] == 54800
    assert isinstance(reading.document["model"], MapNode)
    assert "param_groups" in reading.document["optimizer"]


def test_compile_prefixes_come_off_inside_names():
    _, reading = read(
        {"pytorch-lightning_version": "2.5", "state_dict": {"net._orig_mod.w": tensor(2)}}
    )
    assert list(reading.document["model"]) == ["net.w"]
