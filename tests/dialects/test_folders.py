"""Folders that the real libraries write: Trainer, Accelerate, from_pretrained, DCP, Fabric."""

import json
import os

import pytest
import torch

from ckptkit.verbs.accounting import account_for
from ckptkit.verbs.open import load
from tests.dialects.accounting import adam, cosine, read, read_view, state_dict, view_of
from tests.dialects.trained import assert_same_optimizer, assert_same_state, train

real = pytest.mark.real_library
quiet = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def open_whole(path):
    checkpoint = load(path)
    root, document = checkpoint.opened.root, checkpoint.document
    assert [p for p in account_for(root, document, checkpoint.moves) if p.target is None] == []
    return checkpoint


@pytest.fixture(scope="module")
def trainer_run(tmp_path_factory):
    """A tiny BERT, five steps an epoch, saved after steps 4 and 5."""
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    os.environ["HF_HUB_OFFLINE"] = "1"
    folder = tmp_path_factory.mktemp("trainer")
    config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=8, max_position_embeddings=16)  # fmt: skip
    net = BertForSequenceClassification(config)
    rows = [
        {"input_ids": torch.randint(0, 20, (5,)), "labels": torch.tensor(i % 2)} for i in range(10)
    ]
    settings = TrainingArguments(
        folder, max_steps=5, save_steps=4, per_device_train_batch_size=2, use_cpu=True, report_to=[],
        logging_steps=1, disable_tqdm=True, metric_for_best_model="loss", eval_strategy="steps",
        eval_steps=4, load_best_model_at_end=True, greater_is_better=False,
    )  # fmt: skip
    trainer = Trainer(net, settings, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    trainer.save_model(folder / "published")
    return folder


@real
@quiet
def test_a_trainer_folder(trainer_run):
    from safetensors.torch import load_file

    folder = trainer_run / "checkpoint-4"
    told = json.loads((folder / "trainer_state.json").read_text())
    with open_whole(folder) as checkpoint:
        document = checkpoint.document
        assert (checkpoint.verdict.dialect.name, checkpoint.verdict.score) == ("hf-trainer", 96)
        assert document["progress"]["optimizer_steps"] == 4
        assert document["progress"]["as_stored"]["epoch"] == told["epoch"] == pytest.approx(0.8)
        live = load_file(folder / "model.safetensors")
        assert_same_state(document["model"], {name: live[name] for name in document["model"]})
        assert len(document["model"]) == len(live)
        assert "param_groups" in document["optimizer"]
        assert document["scheduler"]["last_epoch"] == 4
        assert {"python", "numpy", "cpu"} <= set(document["rng"])
        assert document["config"]["config"]["model_type"] == "bert"
        assert document["history"].items[0]["step"] == 1
        best = document["metrics"]["best"]
        assert best["value"] == told["best_metric"]
        assert (best["name"], best["mode"]) == ("loss", "min")
        assert best["where"].endswith("checkpoint-4")
        assert document["extra"]["trainer_state.json"]["max_steps"] == 5
        assert {"mid-epoch", "absolute-path"} <= {notice.code for notice in checkpoint.notices}


@real
@quiet
def test_a_trainer_folder_at_the_end_of_an_epoch(trainer_run):
    with open_whole(trainer_run / "checkpoint-5") as checkpoint:
        assert checkpoint.document["progress"]["epochs_completed"] == 1


@real
@quiet
def test_a_published_model_is_weights_and_config(trainer_run):
    with open_whole(trainer_run / "published") as checkpoint:
        assert checkpoint.verdict.dialect.name == "hf-weights"
        assert "bert.embeddings.word_embeddings.weight" in checkpoint.document["model"]
        assert "optimizer" not in checkpoint.document
        assert "weights-only" in {notice.code for notice in checkpoint.notices}


@real
@quiet
def test_an_accelerate_folder(tmp_path):
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    trained = train(2)
    data = torch.utils.data.DataLoader(torch.arange(8), batch_size=4, shuffle=True)
    model, optimizer, scheduler, _ = accelerator.prepare(
        trained.model, trained.optimizer, trained.scheduler, data
    )
    counter = torch.optim.lr_scheduler.StepLR(
        torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 0.1), 2
    )
    accelerator.register_for_checkpointing(counter)
    accelerator.save_state(tmp_path / "state")
    with open_whole(tmp_path / "state") as checkpoint:
        document = checkpoint.document
        assert (checkpoint.verdict.dialect.name, checkpoint.verdict.score) == ("accelerate", 94)
        live = model.state_dict()
        assert_same_state(document["model"], {name: live[name] for name in document["model"]})
        assert_same_optimizer(document["optimizer"], optimizer.optimizer)
        assert document["scheduler"]["last_epoch"] == scheduler.scheduler.last_epoch
        assert "numpy_random_seed" in document["rng"]
        assert document["progress"]["step_means"] == "unknown"
        assert document["progress"].get("optimizer_steps") is None
        assert document["extra"]["custom_checkpoint_0.pkl"]["step_size"] == 2


@quiet
def test_a_distributed_folder(tmp_path):
    from torch.distributed import checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict

    trained = train(2)
    model, optimizer = get_state_dict(trained.model, trained.optimizer)
    state = {"model": model, "optim": optimizer, "lr_scheduler": trained.scheduler.state_dict(),
             "epoch": 3, "global_step": 6, "config": {"lr": 1e-3}}  # fmt: skip
    dcp.save(state, checkpoint_id=tmp_path / "step-6")
    with open_whole(tmp_path / "step-6") as checkpoint:
        document = checkpoint.document
        assert (checkpoint.verdict.dialect.name, checkpoint.verdict.score) == ("dcp", 92)
        assert_same_state(document["model"], {name: model[name] for name in document["model"]})
        assert "exp_avg" in document["optimizer"]["state"]["0.weight"]
        assert document["scheduler"]["T_max"] == 10
        assert document["progress"]["optimizer_steps"] == 6
        assert document["progress"]["epoch_means"] == "unknown"
        assert document["config"]["lr"] == 1e-3


@quiet
def test_a_distributed_folder_of_bare_weights(tmp_path):
    from torch.distributed import checkpoint as dcp

    live = train(1).model.state_dict()
    dcp.save(dict(live), checkpoint_id=tmp_path / "weights")
    with open_whole(tmp_path / "weights") as checkpoint:
        assert checkpoint.verdict.dialect.name == "dcp"
        document = checkpoint.document
        assert_same_state(document["model"], {name: live[name] for name in document["model"]})
        assert set(document["model"]) == set(live)


@real
@quiet
def test_a_file_that_fabric_saved(tmp_path):
    import lightning

    fabric = lightning.Fabric(accelerator="cpu", devices=1)
    trained = train(2)
    model, optimizer = fabric.setup(trained.model, trained.optimizer)
    state = {"model": model, "optimizer": optimizer, "scheduler": trained.scheduler, "epoch": 1,
             "iteration": 7, "hparams": {"lr": 1e-3}}  # fmt: skip
    fabric.save(tmp_path / "state.ckpt", state)
    with open_whole(tmp_path / "state.ckpt") as checkpoint:
        document = checkpoint.document
        assert (checkpoint.verdict.dialect.name, checkpoint.verdict.score) == ("fabric", 62)
        assert checkpoint.verdict.runner_up == ("training-dict", 60)
        assert_same_state(document["model"], trained.model.state_dict())
        assert_same_optimizer(document["optimizer"], trained.optimizer)
        assert document["progress"]["as_stored"]["step"] == 7
        assert document["config"]["lr"] == 1e-3


@quiet
def test_a_sharded_fabric_folder_has_its_counters_in_meta(tmp_path):
    """The layout of fabric/strategies/fsdp.py: FSDP itself would need a GPU."""
    from torch.distributed import checkpoint as dcp

    trained = train(1)
    state = {"model": trained.model.state_dict(), "optimizer": trained.optimizer.state_dict()}
    dcp.save(state, checkpoint_id=tmp_path / "sharded")
    torch.save({"iteration": 7, "hparams": {"a": 1}}, tmp_path / "sharded" / "meta.pt")
    with open_whole(tmp_path / "sharded") as checkpoint:
        assert (checkpoint.verdict.dialect.name, checkpoint.verdict.score) == ("fabric", 93)
        assert checkpoint.document["progress"]["as_stored"]["step"] == 7
        assert checkpoint.document["config"]["a"] == 1
        assert len(checkpoint.document["model"]) == len(trained.model.state_dict())


def folder(files):
    return view_of(files, "checkpoint-9", "folder")


def test_safetensors_come_before_pickles_of_the_same_weights():
    files = {
        "pytorch_model.bin": state_dict(),
        "model.safetensors": state_dict(),
        "config.json": {},
    }
    verdict, reading = read_view(folder(files))
    assert verdict.dialect.name == "hf-weights"
    assert reading.document["model"]["conv.weight"] is files["model.safetensors"]["conv.weight"]
    assert "pytorch_model.bin" in reading.document["extra"]


def test_the_parts_of_a_pipeline_keep_their_folders_as_roles():
    files = {"unet/diffusion_pytorch_model.safetensors": state_dict(), "model_index.json": {"_class_name": "P"},
             "vae/diffusion_pytorch_model.fp16.safetensors": state_dict(), "unet/config.json": {"dim": 3}}  # fmt: skip
    _, reading = read_view(folder(files))
    assert set(reading.document["model"]) == {"unet", "vae"}
    assert set(reading.document["config"]) == {"model_index", "unet/config"}


def test_several_models_and_optimizers_of_accelerate_have_numbers():
    files = {"model.safetensors": state_dict(), "model_1.safetensors": state_dict(), "optimizer.bin": adam(),
             "optimizer_1.bin": adam(), "scheduler.bin": cosine(), "random_states_0.pkl": {"step": 3},
             "random_states_1.pkl": {"step": 3}, "sampler.bin": {"seed": 1}, "scaler.pt": {"scale": 1.0}}  # fmt: skip
    verdict, reading = read_view(folder(files))
    document = reading.document
    assert verdict.dialect.name == "accelerate"
    assert list(document["model"]) == ["model", "model_1"]
    assert list(document["optimizer"]) == ["optimizer", "optimizer_1"]
    assert list(document["rng"]) == ["random_states_0", "random_states_1"]
    assert "sampler" in document["data"]
    assert "scale" in document["scaler"]


def test_sharded_fsdp_folders_inside_a_trainer_folder():
    files = {"trainer_state.json": {"global_step": 10, "epoch": 2.0, "log_history": []},
             "pytorch_model_fsdp_0": {"model": state_dict()}, "optimizer_0": {"optimizer": adam()}}  # fmt: skip
    _, reading = read_view(folder(files))
    assert len(reading.document["model"]) == 3
    assert "param_groups" in reading.document["optimizer"]


def test_a_single_file_is_never_taken_for_a_folder():
    verdict, _ = read({"model.safetensors": state_dict(), "trainer_state.json": {"global_step": 1}})
    assert verdict.dialect.name == "training-dict"
