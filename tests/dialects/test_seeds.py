"""The five hand-made resume systems: saved by torch as each describes it, old format and new."""

import pytest
import torch

from ckptkit.nodes import Atom, TensorNode
from ckptkit.tree import equal
from ckptkit.verbs.accounting import account_for
from ckptkit.verbs.inspect import inspect
from ckptkit.verbs.migrate import migrate
from ckptkit.verbs.open import load
from tests.dialects.trained import assert_same_optimizer, assert_same_state, tensor_bytes, train

SECTIONS = (
    "model",
    "ema",
    "optimizer",
    "scheduler",
    "scaler",
    "progress",
    "metrics",
    "history",
    "config",
)

BRAIN_CONFIG = {"epochs": 50, "batch_size": 8, "lr": 2e-4, "d_shared": 512}


@pytest.fixture(scope="module")
def trained():
    return train(2)


def core(trained, **more):
    return {"model_state_dict": trained.model.state_dict(),
            "optimizer_state_dict": trained.optimizer.state_dict(), **more}  # fmt: skip


def full(trained, **more):
    return core(trained, scheduler_state_dict=trained.scheduler.state_dict(), **more)


def open_saved(tmp_path, name, state, **options):
    torch.save(state, tmp_path / name, **options)
    checkpoint = load(tmp_path / name)
    lost = [placed for placed in account_for(checkpoint.opened.root, checkpoint.document, checkpoint.moves)
            if placed.target is None]  # fmt: skip
    assert lost == []
    assert_sealed_alike(checkpoint, tmp_path / f"{name}.sealed")
    return checkpoint


def same_bytes(one, other):
    return one.storage.source is other.storage.source or tensor_bytes(one) == tensor_bytes(other)


def plain_numbers(progress):
    """All that inspect says, but for tensors: they are other objects in another file."""
    pairs = (*progress.as_stored, *progress.best)
    plain = [pair for pair in pairs if not isinstance(pair[1], TensorNode)]
    return (progress.epochs_completed, progress.optimizer_steps, progress.samples,
            progress.epoch_means, progress.step_means, plain)  # fmt: skip


def assert_sealed_alike(checkpoint, target):
    """What was found in the file is in the sealed folder too, and inspect says the same of it."""
    migrate(checkpoint.path, target)
    with load(target) as sealed:
        for section in SECTIONS:
            assert (section in sealed.document) == (section in checkpoint.document), section
            ours, theirs = checkpoint.document.get(section), sealed.document.get(section)
            assert equal(ours, theirs, same_bytes), section
    before, after = inspect(checkpoint.path), inspect(target)
    assert plain_numbers(before.progress) == plain_numbers(after.progress)
    stored = (
        checkpoint.document["progress"]["as_stored"] if "progress" in checkpoint.document else {}
    )
    for name in ("epoch", "step"):
        if name in stored and not isinstance(stored[name], (Atom, TensorNode)):
            assert dict(after.progress.as_stored)[name] == stored[name]
    progress = checkpoint.document.get("progress")
    if progress is not None:
        assert after.progress.epochs_completed == progress.get("epochs_completed")
        assert after.progress.optimizer_steps == progress.get("optimizer_steps")


def codes(checkpoint):
    return {notice.code for notice in checkpoint.notices}


def assert_training_state(checkpoint, trained, *, scheduler=True, scaler=False):
    document = checkpoint.document
    assert_same_state(document["model"], trained.model.state_dict())
    assert_same_optimizer(document["optimizer"], trained.optimizer)
    assert ("scheduler" in document) == scheduler
    if scheduler:
        assert document["scheduler"]["last_epoch"] == trained.scheduler.last_epoch
        assert document["scheduler"]["T_max"] == 10
    assert ("scaler" in document) == scaler
    if scaler:
        assert document["scaler"]["scale"] == trained.scaler.get_scale()
        assert document["scaler"]["growth_factor"] == 2.0


# -- 000: text2sign --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "epoch", "step", "means", "completed"),
    [("checkpoint_epoch_7.pt", 7, 16328, "last", 8), ("latest_checkpoint.pt", 7, 16328, "last", 8),
     ("checkpoint_step_17800.pt", 8, 17800, "next", 8), ("interrupted_checkpoint.pt", 8, 17899, "next", 8),
     ("error_checkpoint.pt", 8, 17899, "next", 8), ("latest_checkpoint.pt", 8, 17899, "unknown", None)],
)  # fmt: skip
def test_text2sign_means_the_last_or_the_running_epoch(
    tmp_path, trained, name, epoch, step, means, completed
):
    state = full(trained, epoch=epoch, global_step=step)
    with open_saved(tmp_path, name, state) as checkpoint:
        progress = checkpoint.document["progress"]
        assert checkpoint.verdict.dialect.name == "text2sign"
        assert (progress["as_stored"]["epoch"], progress["epoch_means"]) == (epoch, means)
        assert progress.get("epochs_completed") == completed
        assert progress["optimizer_steps"] == step
        assert_training_state(checkpoint, trained)


def test_text2sign_under_another_name_is_read_but_its_epoch_is_unknown(tmp_path, trained):
    with open_saved(
        tmp_path, "renamed.pt", full(trained, epoch=7, global_step=16328)
    ) as checkpoint:
        assert checkpoint.verdict.dialect.name == "training-dict"
        assert checkpoint.document["progress"]["epoch_means"] == "unknown"
        assert checkpoint.document["progress"]["as_stored"]["epoch"] == 7
        assert "epoch-unknown" in codes(checkpoint)


# -- 001: brain ------------------------------------------------------------------------------------


def test_brain_new_format(tmp_path, trained):
    state = {"epoch": 42, "global_step": 158250, **core(trained), "best_val": 0.2345, "val_loss": 0.2345,
             "scaler_state_dict": trained.scaler.state_dict(), "config": BRAIN_CONFIG}  # fmt: skip
    with open_saved(tmp_path, "best_brain_v2.pt", state) as checkpoint:
        document = checkpoint.document
        assert (checkpoint.verdict.dialect.name, checkpoint.verdict.score) == ("brain", 90)
        assert checkpoint.verdict.runner_up == ("training-dict", 60)
        assert_training_state(checkpoint, trained, scheduler=False, scaler=True)
        assert document["progress"]["epochs_completed"] == 43
        assert document["progress"]["optimizer_steps"] == 158250
        best = dict(document["metrics"]["best"].items())
        assert best == {"value": 0.2345, "name": "val_loss", "mode": "min"}
        assert document["metrics"]["latest"]["val_loss"] == 0.2345
        assert dict(document["config"].items()) == BRAIN_CONFIG
        assert "extra" not in document


def test_brain_without_mixed_precision_has_no_scaler(tmp_path, trained):
    state = {"epoch": 0, "global_step": 9, **core(trained), "best_val": 1.0, "val_loss": 1.0,
             "scaler_state_dict": None, "config": BRAIN_CONFIG}  # fmt: skip
    with open_saved(tmp_path, "best_brain_v2.pt", state) as checkpoint:
        assert "scaler" not in checkpoint.document
        assert checkpoint.document["extra"]["scaler_state_dict"] is None
        assert checkpoint.document["progress"]["epochs_completed"] == 1


@pytest.mark.parametrize("name", ["best_brain_v2.pt", "epoch_50.pth"])
@pytest.mark.parametrize("zipped", [True, False])
def test_the_old_formats_are_bare(tmp_path, trained, name, zipped):
    state = trained.model.state_dict()
    with open_saved(tmp_path, name, state, _use_new_zipfile_serialization=zipped) as checkpoint:
        assert (checkpoint.verdict.dialect.name, checkpoint.schema_version) == ("bare", 0)
        assert list(checkpoint.document) == ["model"]
        assert_same_state(checkpoint.document["model"], state)
        assert "weights-only" in codes(checkpoint)


# -- 002: noon2 ------------------------------------------------------------------------------------


def history_of(n_epochs):
    return {"train_loss": [0.5] * n_epochs, "val_loss": [0.6] * n_epochs, "lr": [1e-3] * n_epochs}


@pytest.mark.parametrize(
    ("epoch", "n_epochs", "means", "completed"),
    [(1, 1, "completed", 1), (0, 1, "last", 1), (10, 10, "completed", 10), (9, 10, "last", 10),
     (10, 4, "unknown", None)],
)  # fmt: skip
def test_noon2_believes_the_history(tmp_path, trained, epoch, n_epochs, means, completed):
    state = full(trained, epoch=epoch, best_val_loss=0.0123, history=history_of(n_epochs),
                 scaler_state_dict=trained.scaler.state_dict(), config={"batch_size": 8, "image_size": 256})  # fmt: skip
    with open_saved(tmp_path, "last_checkpoint.pt", state) as checkpoint:
        document = checkpoint.document
        assert checkpoint.verdict.dialect.name == "noon2"
        assert_training_state(checkpoint, trained, scaler=True)
        assert document["progress"]["epoch_means"] == means
        assert document["progress"].get("epochs_completed") == completed
        assert dict(document["metrics"]["best"].items()) == {
            "value": 0.0123,
            "name": "val_loss",
            "mode": "min",
        }
        assert len(document["history"]["val_loss"]) == n_epochs
        assert document["config"]["batch_size"] == 8


def test_noon2_with_two_histories_and_other_names(tmp_path, trained):
    state = {"current_epoch": 3, "model": trained.model.state_dict(), "optimizer": trained.optimizer.state_dict(),
             "scheduler": trained.scheduler.state_dict(), "scaler": trained.scaler.state_dict(),
             "best_val_loss": 0.1, "train_losses": [3.0, 2.0, 1.0], "val_losses": [3.0, 2.0, 1.0],
             "config": {"lr": 1e-3}}  # fmt: skip
    with open_saved(tmp_path, "checkpoint_epoch_3.pt", state) as checkpoint:
        assert checkpoint.verdict.dialect.name == "noon2"
        assert_training_state(checkpoint, trained, scaler=True)
        assert checkpoint.document["progress"]["epochs_completed"] == 3
        assert set(checkpoint.document["history"]) == {"train_losses", "val_losses"}


# -- 003: U-Net restoration ------------------------------------------------------------------------

METRICS = {
    "train": {"loss": 0.045, "l1": 0.032, "ssim": 0.89},
    "val": {"loss": 0.052, "l1": 0.038, "ssim": 0.87},
}


@pytest.mark.parametrize("name", ["best_model.pth", "checkpoint_epoch_015.pth"])
def test_unet_counts_completed_epochs(tmp_path, trained, name):
    with open_saved(tmp_path, name, full(trained, epoch=15, metrics=METRICS)) as checkpoint:
        assert checkpoint.verdict.dialect.name == "unet-restoration"
        assert_training_state(checkpoint, trained)
        assert checkpoint.document["progress"]["epochs_completed"] == 15
        assert checkpoint.document["metrics"]["latest"]["val"]["ssim"] == 0.87


@pytest.mark.parametrize("more", [{}, {"metrics": METRICS}])
def test_an_emergency_checkpoint_does_not_say_which_epoch_was_finished(tmp_path, trained, more):
    state = full(trained, epoch=7, **more)
    with open_saved(tmp_path, "emergency_checkpoint_oom_epoch_7.pth", state) as checkpoint:
        assert checkpoint.verdict.dialect.name == "unet-restoration"
        assert checkpoint.document["progress"]["as_stored"]["epoch"] == 7
        assert checkpoint.document["progress"].get("epochs_completed") is None
        assert "epoch-unknown" in codes(checkpoint)


# -- 004: SegFormer and BuildFormer ----------------------------------------------------------------


def segformer(trained, epoch, n_entries):
    return core(trained, epoch=epoch, train_loss=[0.5] * n_entries, val_loss=[0.6] * n_entries,
                metrics=[{"iou": 0.7, "f1": 0.8}] * n_entries)  # fmt: skip


@pytest.mark.parametrize(
    ("epoch", "n_entries", "means", "completed"),
    [(50, 50, "completed", 50), (49, 50, "last", 50), (50, 20, "unknown", None)],
)
def test_segformer_new_format(tmp_path, trained, epoch, n_entries, means, completed):
    with open_saved(tmp_path, "epoch_50.pth", segformer(trained, epoch, n_entries)) as checkpoint:
        document = checkpoint.document
        assert (checkpoint.verdict.dialect.name, checkpoint.verdict.score) == (
            "building-segmentation",
            84,
        )
        assert_training_state(checkpoint, trained, scheduler=False)
        assert document["progress"]["epoch_means"] == means
        assert document["progress"].get("epochs_completed") == completed
        assert set(document["history"]) == {"train_loss", "val_loss", "metrics"}
        assert len(document["history"]["train_loss"]) == n_entries


def test_segformer_with_losses_of_the_last_epoch_only(tmp_path, trained):
    state = core(trained, epoch=50, train_loss=0.5, val_loss=0.6, metrics={"iou": 0.7})
    with open_saved(tmp_path, "final_model.pth", state) as checkpoint:
        assert checkpoint.verdict.dialect.name == "building-segmentation"
        assert checkpoint.document["progress"]["epochs_completed"] == 50
        assert checkpoint.document["metrics"]["latest"]["train_loss"] == 0.5


# -- their relatives -------------------------------------------------------------------------------


def test_the_imagenet_example_saves_the_next_epoch(tmp_path, trained):
    state = {"epoch": 5, "arch": "resnet18", "best_acc1": torch.tensor(71.5),
             "state_dict": torch.nn.DataParallel(trained.model).state_dict(),
             "optimizer": trained.optimizer.state_dict(), "scheduler": trained.scheduler.state_dict()}  # fmt: skip
    with open_saved(tmp_path, "checkpoint.pth.tar", state) as checkpoint:
        assert checkpoint.verdict.dialect.name == "imagenet"
        assert_training_state(checkpoint, trained)
        assert checkpoint.document["progress"]["epochs_completed"] == 5
        assert checkpoint.document["metrics"]["best"]["mode"] == "max"


@pytest.mark.parametrize(("version", "completed"), [(2, 6), (1, 5)])
def test_timm_changed_the_meaning_of_epoch(tmp_path, trained, version, completed):
    average = torch.optim.swa_utils.AveragedModel(trained.model).module.state_dict()
    state = {"epoch": 5, "arch": "resnet18", "state_dict": trained.model.state_dict(),
             "optimizer": trained.optimizer.state_dict(), "version": version, "state_dict_ema": average,
             "amp_scaler": trained.scaler.state_dict(), "metric": 70.0}  # fmt: skip
    with open_saved(tmp_path, "last.pth.tar", state) as checkpoint:
        assert checkpoint.verdict.dialect.name == "timm"
        assert_training_state(checkpoint, trained, scheduler=False, scaler=True)
        assert_same_state(checkpoint.document["ema"]["weights"], average)
        assert checkpoint.document["progress"]["epochs_completed"] == completed


def test_an_averaged_model_that_torch_saved(tmp_path, trained):
    average = torch.optim.swa_utils.AveragedModel(trained.model)
    average.update_parameters(trained.model)
    with open_saved(tmp_path, "swa.pt", average.state_dict()) as checkpoint:
        assert_same_state(checkpoint.document["ema"]["weights"], average.module.state_dict())
        assert "model" not in checkpoint.document


def test_a_whole_model_that_torch_saved(tmp_path, trained):
    with open_saved(tmp_path, "whole.pt", trained.model) as checkpoint:
        assert checkpoint.verdict.dialect.name == "pickled-module"
        assert_same_state(checkpoint.document["model"], trained.model.state_dict())
        assert "module" in checkpoint.document["extra"]


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_scripted_model_that_torch_saved(tmp_path, trained):
    path = tmp_path / "scripted.pt"
    torch.jit.save(torch.jit.trace(trained.model.eval(), torch.zeros(1, 3, 4, 4)), path)
    with load(path) as checkpoint:
        assert checkpoint.verdict.dialect.name == "torchscript"
        live = trained.model.state_dict()
        assert set(checkpoint.document["model"]) == set(live)


# -- numbers in other clothes, and states alone ----------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_numpy_numbers_are_read_and_kept_as_they_were(tmp_path, trained, zipped):
    numpy = pytest.importorskip("numpy")
    state = full(
        trained,
        epochs_completed=numpy.int64(5),
        global_step=numpy.int32(77),
        best_acc=numpy.float64(0.91),
    )
    options = {"_use_new_zipfile_serialization": zipped}
    with open_saved(tmp_path, "numpy.pt", state, **options) as checkpoint:
        progress, best = checkpoint.document["progress"], checkpoint.document["metrics"]["best"]
        assert (progress["epochs_completed"], progress["optimizer_steps"]) == (5, 77)
        assert isinstance(progress["as_stored"]["epoch"], Atom)
        assert (best["value"], best["name"]) == (0.91, "acc")
        assert isinstance(best["as_stored"]["value"], Atom)
    found = inspect(tmp_path / "numpy.pt").progress
    assert (found.epochs_completed, found.optimizer_steps) == (5, 77)
    assert found.as_stored == (("epoch", 5), ("step", 77))
    assert found.best == (("value", 0.91), ("name", "acc"), ("mode", "max"))


def test_digits_and_whole_floats_count(tmp_path, trained):
    state = full(trained, epochs_completed="5", global_step=77.0)
    with open_saved(tmp_path, "digits.pt", state) as checkpoint:
        progress = checkpoint.document["progress"]
        assert (progress["epochs_completed"], progress["optimizer_steps"]) == (5, 77)
        assert (progress["as_stored"]["epoch"], progress["as_stored"]["step"]) == ("5", 77.0)


def test_a_tensor_of_an_epoch_is_kept_and_said_to_be_one(tmp_path, trained):
    path = tmp_path / "tensor.pt"
    with open_saved(tmp_path, path.name, full(trained, epoch=torch.tensor(5))) as checkpoint:
        assert checkpoint.document["progress"]["as_stored"]["epoch"].shape == ()
    effects = [gap.effect for gap in inspect(path).gaps if gap.section == "progress"]
    assert effects == ["epoch is a tensor; inspect --stats reads it"]


@pytest.mark.parametrize("section", ["optimizer", "scheduler", "scaler"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_state_alone_is_known_for_what_it_is(tmp_path, trained, section, wrapped):
    state = getattr(trained, section).state_dict()
    state = {f"{section}_state_dict": state, "epoch": 3} if wrapped else state
    with open_saved(tmp_path, "alone.pt", state) as checkpoint:
        assert checkpoint.verdict.dialect.name == "training-dict"
        assert list(checkpoint.document) == [section, *(["progress"] if wrapped else [])]
    found = inspect(tmp_path / "alone.pt")
    assert "no-weights" in {notice.code for notice in found.notices}
    assert found.gaps[0].section == "model"


def test_empty_states_make_a_training_dict_too(tmp_path):
    with open_saved(tmp_path, "empty.pt", {"model": {}, "optimizer": {}, "epoch": 0}) as checkpoint:
        assert checkpoint.verdict.dialect.name == "training-dict"
        assert list(checkpoint.document) == ["model", "optimizer", "progress"]


def test_a_module_that_lies_in_two_sections_counts_its_parameters_once(tmp_path, trained):
    torch.save(trained.model, tmp_path / "whole.pt")
    found = inspect(tmp_path / "whole.pt")
    live = sum(value.numel() for value in trained.model.state_dict().values())
    assert {row.name for row in found.sections} == {"model", "extra"}
    assert found.total.parameters == live


def test_raw_weights_beside_averaged_ones_are_no_loss_under_any_dialect(tmp_path, trained):
    weights = trained.model.state_dict()
    state = {
        "state_dict": weights,
        "state_dict_ema": weights,
        "optimizer": trained.optimizer.state_dict(),
    }
    torch.save(state, tmp_path / "both.pt")
    found = inspect(tmp_path / "both.pt", dialect="lightning")
    assert "ema-only" not in {notice.code for notice in found.notices}


def test_huge_integers_are_told_by_their_size(tmp_path, trained):
    huge = 10**6000
    state = full(
        trained, epoch=huge, global_step=huge, best_val=huge, val_loss=1.0, config={"fp16": huge}
    )
    torch.save(state, tmp_path / "huge.pt")
    told = [notice.message for notice in inspect(tmp_path / "huge.pt").notices]
    assert "epoch is <integer of 19932 bits>, which is no count" in told
