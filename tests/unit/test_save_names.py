"""ckptkit.save given what torch.save used to get: usual names, one state alone, objects of classes."""

import argparse
import dataclasses
from collections import OrderedDict

import pytest
import torch

import ckptkit
from ckptkit.errors import TargetExistsError, UnrepresentableError
from tests.unit.saved_values import restored, save_plain


@dataclasses.dataclass
class Settings:
    lr: float = 0.1


def trained(seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01 * (1 + seed))
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def training_dict(**more):
    model, optimizer = trained()
    states = {
        "model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(),
    }  # fmt: skip
    return model, optimizer, {**states, "epoch": 3, **more}


def codes(report):
    return {notice.code for notice in report.notices}


def test_the_dict_of_torch_save_restores_into_model_and_optimizer(tmp_path):
    model, optimizer, state = training_dict(global_step=40, best_val_loss=0.5)
    report = ckptkit.save(tmp_path / "c", state)
    other, fresh = trained(seed=1)
    assert ckptkit.restore(tmp_path / "c", {"model": other, "optimizer": fresh}).ok
    assert torch.equal(other[0].weight, model[0].weight)
    moments = [one.state_dict()["state"][0]["exp_avg"] for one in (optimizer, fresh)]
    assert torch.equal(*moments)
    assert set(report.sections) == {"model", "optimizer", "progress", "metrics", "provenance"}
    assert "model_state_dict as model" in str(report)


def test_such_a_save_is_what_the_pt_file_would_be(tmp_path):
    _, _, state = training_dict(global_step=40, best_val_loss=0.5)
    torch.save(state, tmp_path / "old.pt")
    ckptkit.save(tmp_path / "c", state)
    assert ckptkit.diff(tmp_path / "old.pt", tmp_path / "c").same
    [row] = ckptkit.list_checkpoints(tmp_path / "c").rows
    assert (row.optimizer_steps, row.stored_epoch) == (40, 3)


def test_what_moved_is_still_found_under_the_name_it_had(tmp_path):
    model, _, state = training_dict(best_val_loss=0.5)
    ckptkit.save(tmp_path / "c", state)
    with ckptkit.load(tmp_path / "c") as checkpoint:
        assert torch.equal(checkpoint.state("model_state_dict")["0.bias"], model[0].bias)
        assert checkpoint.state("epoch") == 3
        assert checkpoint.state("best_val_loss") == 0.5
        with pytest.raises(KeyError, match="optimizer"):
            checkpoint.state("optimiser")


def test_averages_get_their_section_and_no_weights_of_the_model(tmp_path):
    model, _, state = training_dict(ema_state_dict=trained(seed=2)[0].state_dict())
    ckptkit.save(tmp_path / "c", state)
    ckptkit.restore(tmp_path / "c", {"model": model}, use="ema")
    assert torch.equal(model[0].weight, trained(seed=2)[0][0].weight)


def test_the_state_of_an_averaged_model_gets_the_names_of_the_model(tmp_path):
    model, _, state = training_dict()
    average = torch.optim.swa_utils.AveragedModel(trained(seed=2)[0])
    for more in ({}, {"extra": {"mine": 1}}):
        report = ckptkit.save(tmp_path / "c", {**state, "swa_model": average.state_dict(), **more})
        assert ("ema" in report.sections) is not bool(more)
        if more:
            assert restored(tmp_path / "c")["extra"] == {"mine": 1}
    ckptkit.save(tmp_path / "c", {**state, "swa_model": average.state_dict()})
    ckptkit.restore(tmp_path / "c", {"model": model}, use="ema")
    assert torch.equal(model[0].weight, average.module[0].weight)


def test_a_list_of_states_is_no_state(tmp_path):
    _, optimizer = trained()
    report = save_plain(tmp_path / "c", {"optimizers": [optimizer.state_dict()]})
    assert report.sections == ("optimizers",)


def test_names_that_two_could_claim_stay_as_they_are(tmp_path):
    (one, _), (other, _) = trained(), trained(seed=1)
    state = {"net": one.state_dict(), "network": other.state_dict(), "student": one.state_dict()}
    save_plain(tmp_path / "c", state)
    assert list(restored(tmp_path / "c")) == ["net", "network", "student"]


def test_a_name_is_no_claim_where_the_section_is_there_or_the_content_is_another(tmp_path):
    model, _ = trained()
    state = {"model": model, "weights": model.state_dict(), "opt": 3, "epoch": "three"}
    report = save_plain(tmp_path / "c", state)
    assert report.sections == ("model", "weights", "opt", "epoch")
    assert codes(report) == set()


def test_live_objects_and_the_sections_of_a_trainer_keep_their_names(tmp_path):
    model, optimizer, state = training_dict()
    save_plain(tmp_path / "a", {"net": model, "opt": optimizer})
    assert list(restored(tmp_path / "a")) == ["net", "opt"]
    save_plain(tmp_path / "b", state, trainer="mine")
    assert list(restored(tmp_path / "b")) == list(state)
    save_plain(tmp_path / "d", state, versions={"epoch": 2})
    assert list(restored(tmp_path / "d")) == ["model", "optimizer", "epoch"]


def test_a_count_beside_live_objects_becomes_progress(tmp_path):
    model, _ = trained()
    report = save_plain(tmp_path / "c", {"model": model, "iter_num": 20})
    assert restored(tmp_path / "c")["progress"]["as_stored"] == {"step": 20}
    assert codes(report) == {"sections-named", "progress-uncounted"}


@pytest.mark.parametrize(
    ("progress", "codes_told"),
    [
        ({"epochs_completed": 3}, set()),
        ({"global_step": 40}, set()),
        ({"iter_num": 20, "epoch": 3}, {"progress-uncounted"}),
        ({"epochs": 3}, {"progress-uncounted"}),
        ({}, {"progress-uncounted"}),
    ],
)
def test_a_progress_is_kept_as_given_and_one_that_counts_nothing_is_told(
    tmp_path, progress, codes_told
):
    report = save_plain(tmp_path / "c", {"progress": progress})
    assert restored(tmp_path / "c")["progress"] == progress
    assert codes(report) == codes_told


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        (trained()[0].state_dict(), '{"model": model, ...}'),
        (dict(trained()[0].state_dict()), '{"model": model, ...}'),
        (trained()[1].state_dict(), '{"optimizer": optimizer, ...}'),
        (trained()[0], '{"model": model, ...}'),
        (trained()[1], '{"optimizer": optimizer, ...}'),
    ],
)
def test_one_object_or_its_state_alone_is_refused_with_what_to_write(tmp_path, state, advice):
    with pytest.raises(UnrepresentableError) as caught:
        save_plain(tmp_path / "c", state)
    assert advice in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_sections_that_are_single_tensors_are_none_of_that(tmp_path):
    save_plain(tmp_path / "c", OrderedDict(one=torch.ones(2), two=torch.zeros(1)))
    assert list(restored(tmp_path / "c")) == ["one", "two"]


@pytest.mark.parametrize("value", [argparse.Namespace(lr=1), Settings()])
def test_an_object_that_comes_back_as_a_record_is_told_with_its_place(tmp_path, value):
    report = save_plain(tmp_path / "c", {"config": {"args": value}})
    [told] = [notice for notice in report.notices if notice.code == "kept-as-records"]
    assert "config/args" in told.message
    assert "vars(args), dataclasses.asdict(config)" in told.message


def test_what_torch_makes_again_is_no_record(tmp_path):
    state = {"extra": {"sparse": torch.eye(3).to_sparse(), "dtype": torch.float16}}
    assert codes(save_plain(tmp_path / "c", state)) == set()


# -- a target that is taken, in the words of who asks ---------------------------------------------


def test_python_is_told_the_words_of_python(tmp_path):
    save_plain(tmp_path / "c", {"extra": 1})
    with pytest.raises(TargetExistsError, match="replace=True") as caught:
        save_plain(tmp_path / "c", {"extra": 2}, replace=False)
    assert "DST" not in str(caught.value)
    assert "--" not in str(caught.value)


def test_a_file_in_the_way_is_told_with_a_name_that_is_free(tmp_path):
    (tmp_path / "ckpt.pt").write_bytes(b"old")
    with pytest.raises(TargetExistsError, match="such as ckpt, or remove the file"):
        save_plain(tmp_path / "ckpt.pt", {"extra": 2})
    assert (tmp_path / "ckpt.pt").read_bytes() == b"old"
