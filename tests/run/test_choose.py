"""The newest checkpoint that verifies is chosen; every one passed over is named with its reason."""

import shutil

import pytest
import torch

import ckptkit
from ckptkit.errors import NotFoundError
from ckptkit.run.aliases import identity, point
from ckptkit.run.choose import choose, choose_named, survey


@pytest.fixture
def folder(tmp_path):
    where = tmp_path / "checkpoints"
    where.mkdir()
    for epoch in (1, 2, 3):
        state = {
            "epoch": epoch,
            "global_step": epoch * 10,
            "model_state_dict": {"w": torch.full((2000,), float(epoch))},
            "optimizer_state_dict": {"state": {}, "param_groups": []},
        }
        torch.save(state, tmp_path / f"{epoch}.pt")
        ckptkit.migrate(tmp_path / f"{epoch}.pt", where / f"checkpoint_epoch_{epoch}")
    return where


def damage(path, at=-100):
    file = path / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_the_newest_is_chosen(folder):
    assert choose(folder).chosen.path.name == "checkpoint_epoch_3"
    assert choose(folder).skipped == ()


def test_what_was_found_is_short_in_a_notebook(folder):
    assert repr(survey(folder)[0][:1]) == "[Found('checkpoint_epoch_3', epochs=0, steps=30)]"


def test_a_flipped_bit_passes_the_choice_to_the_one_before_and_is_named(folder):
    damage(folder / "checkpoint_epoch_3")
    choice = choose(folder)
    assert choice.chosen.path.name == "checkpoint_epoch_2"
    assert [skipped.path.name for skipped in choice.skipped] == ["checkpoint_epoch_3"]
    assert "damaged" in choice.skipped[0].reason


def test_what_lost_a_file_or_its_manifest_is_skipped_with_the_reason(folder):
    (folder / "checkpoint_epoch_3" / "model.safetensors").unlink()
    (folder / "checkpoint_epoch_2" / "manifest.msgpack").write_bytes(b"\x92")
    choice = choose(folder)
    assert choice.chosen.path.name == "checkpoint_epoch_1"
    assert {skipped.path.name for skipped in choice.skipped} == {
        "checkpoint_epoch_2",
        "checkpoint_epoch_3",
    }
    assert all(skipped.reason for skipped in choice.skipped)


def test_nothing_is_chosen_where_nothing_verifies(folder):
    for epoch in (1, 2, 3):
        damage(folder / f"checkpoint_epoch_{epoch}")
    choice = choose(folder)
    assert choice.chosen is None
    assert len(choice.skipped) == 3


def test_an_empty_or_missing_folder_offers_nothing(tmp_path):
    assert choose(tmp_path / "nowhere").chosen is None


def test_a_file_of_another_program_counts(folder):
    shutil.copy(folder.parent / "3.pt", folder / "checkpoint_epoch_9.pt")
    shutil.rmtree(folder / "checkpoint_epoch_3")
    assert choose(folder).chosen.path.name == "checkpoint_epoch_9.pt"


def test_an_alias_is_the_same_checkpoint_and_costs_no_space(folder):
    point(folder / "latest_checkpoint", folder / "checkpoint_epoch_3")
    ours, theirs = (
        (folder / name / "model.safetensors").stat()
        for name in ("latest_checkpoint", "checkpoint_epoch_3")
    )
    assert ours.st_ino == theirs.st_ino
    assert [one.path.name for one in survey(folder)[0]] == [
        "checkpoint_epoch_3",
        "checkpoint_epoch_2",
        "checkpoint_epoch_1",
    ]


def test_an_alias_outlives_what_it_was_made_from(folder):
    point(folder / "best_model", folder / "checkpoint_epoch_2")
    for epoch in (1, 2, 3):
        shutil.rmtree(folder / f"checkpoint_epoch_{epoch}")
    assert choose(folder).chosen.path.name == "best_model"
    assert choose_named(folder, "best").chosen.steps == 20


def test_an_alias_moves_and_moving_it_to_where_it_is_changes_nothing(folder):
    alias = folder / "latest_checkpoint"
    point(alias, folder / "checkpoint_epoch_1")
    point(alias, folder / "checkpoint_epoch_2")
    assert identity(alias) == identity(folder / "checkpoint_epoch_2")
    before = alias.stat().st_ino
    point(alias, folder / "checkpoint_epoch_2")
    assert alias.stat().st_ino == before


def test_an_alias_is_only_made_of_what_is_sealed(folder):
    (folder / "half").mkdir()
    with pytest.raises(NotFoundError):
        point(folder / "latest_checkpoint", folder / "half")


def test_a_name_that_is_not_there_is_answered_with_those_that_are(folder):
    with pytest.raises(NotFoundError, match="checkpoint_epoch_1"):
        choose_named(folder, "checkpoint_epoch_7")
