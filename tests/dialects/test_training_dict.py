"""The training dict without a framework: every section from every common key."""

import pytest

from ckptkit.nodes import MapNode
from tests.dialects.accounting import (
    SCALER,
    adam,
    codes,
    cosine,
    linear,
    module,
    read,
    state_dict,
    tensor,
)


def test_the_usual_names_fill_the_usual_sections():
    verdict, reading = read(
        {"epoch": 4, "global_step": 80, "model_state_dict": state_dict(), "optimizer_state_dict": adam(),
         "lr_scheduler": cosine(), "scaler": SCALER, "best_acc1": 71.2, "args": {"lr": 0.1},
         "rng_state": tensor(8, dtype="uint8"), "history": {"loss": [4.0, 3.0, 2.0, 1.0]},
         "metrics": {"loss": 1.0}, "note": "mine"}
    )  # fmt: skip
    document = reading.document
    assert (verdict.dialect.name, verdict.score) == ("training-dict", 60)
    for section in [
        "model",
        "optimizer",
        "scheduler",
        "scaler",
        "config",
        "rng",
        "history",
        "metrics",
    ]:
        assert isinstance(document[section], MapNode) or section == "rng", section
    assert (document["epoch"], document["epoch_means"]) == (4, "completed")
    assert (document["step"], document["step_means"]) == (80, "completed")
    assert dict(document["best"].items()) == {"value": 71.2, "name": "acc1", "mode": "max"}
    assert dict(document["extra"].items()) == {"note": "mine"}


@pytest.mark.parametrize(
    "weights", ["state_dict", "model_state_dict", "model", "net", "weights", "params", "student"]
)
@pytest.mark.parametrize(
    "optimizer", ["optimizer", "optim", "opt", "optimizer_state", "last_optimizer_state", "my_adam"]
)
def test_synonyms(weights, optimizer):
    _, reading = read({weights: state_dict(prefix="module."), optimizer: adam(), "iteration": 7})
    assert list(reading.document["model"]) == ["conv.weight", "conv.bias", "head.weight"]
    assert "param_groups" in reading.document["optimizer"]
    assert (reading.document["step"], reading.document["step_means"]) == (7, "unknown")


@pytest.mark.parametrize(
    ("keys", "roles"),
    [(("generator", "discriminator"), ["generator", "discriminator"]), (("netG", "netD"), ["netG", "netD"]),
     (("encoder_state_dict", "decoder_state_dict"), ["encoder", "decoder"]), (("G", "D"), ["G", "D"])],
)  # fmt: skip
def test_several_models_and_optimizers_keep_their_roles(keys, roles):
    value = {key: state_dict() for key in keys}
    _, reading = read({**value, "optimizer_G": adam(), "d_optim": adam(), "epoch": 1})
    assert list(reading.document["model"]) == roles
    assert list(reading.document["optimizer"]) == ["G", "d"]


def test_optimizers_in_a_list():
    _, one = read({"model": state_dict(), "optimizers": [adam()]})
    _, two = read({"model": state_dict(), "optimizers": [adam(), adam()]})
    assert "param_groups" in one.document["optimizer"]
    assert [("param_groups" in state) for state in two.document["optimizer"].values()] == [
        True,
        True,
    ]


@pytest.mark.parametrize(("raw", "ema"), [("state_dict", "state_dict_ema"), ("model", "ema"), ("model", "model_ema"),
                                         ("model", "averaged_model"), ("params", "params_ema")])  # fmt: skip
def test_raw_and_averaged_weights_never_share_a_slot(raw, ema):
    value = {raw: state_dict(), ema: state_dict(prefix="module."), "opt": adam()}
    _, reading = read(value)
    assert (
        reading.document["model"]["conv.weight"] is read(value)[1].document["model"]["conv.weight"]
    )
    assert reading.document["model"]["conv.weight"] is value[raw]["conv.weight"]
    assert reading.document["ema"]["weights"]["conv.weight"] is value[ema]["module.conv.weight"]


def test_shadow_params_are_a_list_with_decay_and_count():
    ema = {
        "decay": 0.999,
        "num_updates": 12,
        "shadow_params": [tensor(2), tensor(3)],
        "collected_params": [],
    }
    _, reading = read({"model": state_dict(), "ema": ema})
    assert len(reading.document["ema"]["weights"]) == 2
    assert (reading.document["ema"]["decay"], reading.document["ema"]["updates"]) == (0.999, 12)
    assert "ema-unnamed" in codes(reading)
    assert "collected_params" in reading.document["extra"]["ema"]


def test_ema_pytorch_keeps_its_copy_of_the_raw_model_apart():
    ema = {"initted": tensor(dtype="bool"), "step": tensor(dtype="int64"),
           **state_dict("w", prefix="online_model."), **state_dict("w", prefix="ema_model.")}  # fmt: skip
    _, reading = read({"model": state_dict("w"), "ema": ema, "opt": adam(), "step": 3})
    assert reading.document["ema"]["weights"]["w"] is ema["ema_model.w"]
    assert reading.document["extra"]["ema"]["online_model.w"] is ema["online_model.w"]
    assert reading.document["ema"]["updates"] is ema["step"]


def test_only_an_average_is_said_to_be_only_an_average():
    net = module("models.yolo.Model", {}, {}, {"0": linear()})
    _, reading = read(
        {"epoch": 9, "model": None, "ema": net, "updates": 70, "optimizer": adam(dtype="float16")}
    )
    assert list(reading.document["ema"]["weights"]) == ["0.weight", "0.bias"]
    assert "model" not in reading.document
    assert {"ema-only", "half-optimizer"} <= codes(reading)
    assert reading.document["extra"]["ema"] is net


def test_a_model_two_deep_leaves_its_arguments_in_config():
    _, reading = read(
        {"model": {"model_args": {"dim": 64}, "state_dict": state_dict(), "more": 1}, "optimizer": adam(),
         "scheduler": cosine(), "training_history": {"e": {"train": [1.0, 2.0]}}, "trainer_args": {"lr": 1}}
    )  # fmt: skip
    assert len(reading.document["model"]) == 3
    assert set(reading.document["config"]) == {"model_args", "trainer_args"}
    assert reading.document["extra"]["model"]["more"] == 1
    assert "e" in reading.document["history"]


@pytest.mark.parametrize(
    ("value", "epoch", "means"),
    [({"epoch": 5, "history": {"loss": [1, 2, 3, 4, 5]}}, 5, "completed"),
     ({"epoch": 4, "history": {"loss": [1, 2, 3, 4, 5]}}, 4, "last"),
     ({"epoch": 4, "train_losses": [1, 2, 3, 4, 5]}, 4, "last"),
     ({"epoch": 4, "history": {"loss": [1, 2]}}, 4, "unknown"), ({"epoch": 4}, 4, "unknown"),
     ({"start_epoch": 4}, 4, "next"), ({"epochs_run": 4}, 4, "completed")],
)  # fmt: skip
def test_the_meaning_of_epoch_is_read_off_evidence_or_said_to_be_unknown(value, epoch, means):
    _, reading = read({"model": state_dict(), "optimizer": adam(), **value})
    assert (reading.document["epoch"], reading.document["epoch_means"]) == (epoch, means)
    assert ("epoch-unknown" in codes(reading)) == (means == "unknown")


def test_what_only_bears_the_name_of_a_section_goes_to_extra():
    _, reading = read({"state_dict": state_dict(), "optimizer": "adam", "epoch": "last", "scheduler": None,
                       "best_model": state_dict("other")})  # fmt: skip
    assert set(reading.document["extra"]) == {"optimizer", "epoch", "scheduler", "best_model"}


def test_absolute_paths_are_noted():
    _, reading = read({"model": state_dict(), "args": {"data": {"root": "/home/me/data"}}})
    assert "absolute-path" in codes(reading)


def test_a_mapping_like_object_is_seen_through():
    from ckptkit.nodes import GlobalName, Record
    from tests.dialects.accounting import node_of

    root = Record(
        GlobalName("addict", "Dict"), "new", entries=node_of({"model": state_dict(), "epoch": 1})
    )
    verdict, reading = read(root)
    assert verdict.dialect.name == "training-dict"
    assert len(reading.document["model"]) == 3


def test_a_cyclic_tree_is_no_trouble():
    root = MapNode({"model": MapNode(), "epoch": 1})
    root["model"]["model"] = root
    root["self"] = root
    verdict, _ = read(root)
    assert verdict.dialect.name == "unknown"


def test_among_hundreds_of_keys_the_usual_ones_are_found_and_the_limit_is_named():
    notes = {f"note {i}": i for i in range(600)}
    verdict, reading = read(
        {**notes, "model": state_dict(), "optimizer": adam(), "epoch": 4, "best_acc": 0.5}
    )
    assert verdict.dialect.name == "training-dict"
    assert {"model", "optimizer", "epoch", "best"} <= set(reading.document)
    assert len(reading.document["extra"]) == 600
    told = next(notice.message for notice in reading.notices if notice.code == "many-keys")
    assert "512" in told


def test_an_epoch_of_which_nothing_is_told_is_no_warning():
    _, reading = read({"model": state_dict(), "optimizer": adam(), "epoch": 4})
    levels = [notice.level for notice in reading.notices if notice.code == "epoch-unknown"]
    assert levels == ["info"]
