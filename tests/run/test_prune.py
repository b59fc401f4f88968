"""Retention on disk: what would go is what goes, and what others name frees nothing."""

import shutil

import pytest
import torch

import ckptkit
from ckptkit.run import prune as prunes
from ckptkit.run.aliases import point
from ckptkit.run.choose import choose
from ckptkit.run.policy import SavePolicy
from ckptkit.run.prune import PIN_NAME, apply_prune, plan_prune
from ckptkit.run.retention import KeepAll, KeepBest, KeepLast, Retention
from tests.run.small import Small, only_run


@pytest.fixture
def folder(tmp_path):
    for epoch in range(1, 6):
        ckptkit.save(
            tmp_path / f"checkpoint_epoch_{epoch}",
            {
                "model": {"w": torch.full((5000,), float(epoch))},
                "critic": {"w": torch.zeros(10)},
                "optimizer": {"state": {0: {"m": torch.zeros(5000)}}, "param_groups": []},
                "progress": {"epochs_completed": epoch, "optimizer_steps": 10 * epoch},
                "metrics": {
                    "latest": {"val_loss": abs(epoch - 2)},
                    "best": {"name": "val_loss", "mode": "min"},
                },
            },
        )
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_plan_touches_nothing_and_says_what_it_frees(folder):
    before = names(folder)
    plan = plan_prune(folder, Retention(keep=KeepLast(2)))
    assert [fate.verdict for fate in plan.fates] == ["remove"] * 3 + ["keep"] * 2
    assert plan.freed_nbytes > 3 * 40_000
    assert names(folder) == before


def test_carrying_it_out_removes_exactly_that(folder):
    apply_prune(folder, plan_prune(folder, Retention(keep=KeepLast(1) | KeepBest(1))))
    assert names(folder) == ["checkpoint_epoch_2", "checkpoint_epoch_5"]


def test_what_an_alias_names_stays_and_frees_nothing(folder):
    point(folder / "best_model", folder / "checkpoint_epoch_2")
    plan = plan_prune(folder, Retention(keep=KeepLast(1)))
    fate = next(f for f in plan.fates if f.candidate.name == "checkpoint_epoch_2")
    assert (fate.verdict, fate.why, fate.candidate.nbytes) == ("keep", "best_model", 0)


def test_a_pinned_one_and_an_emergency_stay(folder):
    (folder / "checkpoint_epoch_1" / PIN_NAME).touch()
    shutil.move(folder / "checkpoint_epoch_3", folder / "interrupted_checkpoint")
    apply_prune(folder, plan_prune(folder, Retention(keep=KeepLast(1))))
    assert names(folder) == ["checkpoint_epoch_1", "checkpoint_epoch_5", "interrupted_checkpoint"]


def test_a_slim_one_keeps_every_weight_and_says_what_it_lost(folder):
    plan = plan_prune(folder, Retention(keep=KeepAll(), full=1))
    apply_prune(folder, plan)
    with ckptkit.load(folder / "checkpoint_epoch_2") as slim:
        assert set(slim.document) == {"model", "critic", "progress", "metrics", "provenance"}
        assert list(slim.document["provenance"]["slimmed"].items) == ["optimizer"]
        tensor = next(iter(slim.tensors("model")))
        assert torch.frombuffer(bytearray(tensor.read()), dtype=torch.float32).unique().item() == 2
    assert choose(folder).skipped == ()
    with ckptkit.load(folder / "checkpoint_epoch_5") as whole:
        assert "optimizer" in whole.document


def test_a_damaged_one_is_neither_kept_nor_removed_but_told(folder):
    (folder / "checkpoint_epoch_1" / "manifest.msgpack").write_bytes(b"no")
    plan = plan_prune(folder, Retention(keep=KeepLast(1)))
    assert [skipped.path.name for skipped in plan.skipped] == ["checkpoint_epoch_1"]
    apply_prune(folder, plan)
    assert "checkpoint_epoch_1" in names(folder)


def test_a_checkpoint_that_vanishes_while_retention_looks_costs_no_training(tmp_path, monkeypatch):
    plain = prunes._candidate

    def candidate(one, second):
        if one.path.name == "checkpoint_epoch_1":
            shutil.rmtree(one.path)  # as a person may
        return plain(one, second)

    monkeypatch.setattr(prunes, "_candidate", candidate)
    one = Small()
    one.train(tmp_path, 4, retention=Retention(keep=KeepLast(2)), save=SavePolicy())
    assert one.last.epoch == 4
    (told,) = (text for text in one.told if text.startswith("retention"))
    assert told.startswith("retention looks again after the next save: ")
    assert [n for n in names(only_run(tmp_path) / "checkpoints") if "epoch" in n] == [
        "checkpoint_epoch_3", "checkpoint_epoch_4",
    ]  # fmt: skip
