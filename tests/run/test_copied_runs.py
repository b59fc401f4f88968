"""Runs that were copied or renamed: second names are files of their own, and folders have names."""

import os
import shutil

import pytest
import torch

import ckptkit
from ckptkit.run.choose import choose
from ckptkit.run.experiment import find_experiment, list_experiments
from tests.run.small import came_from, names, only_run, resumed, trained
from tests.run.test_recovery import damage


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A run of two epochs; each test takes a copy, in which no file is another's hard link."""
    return trained(tmp_path_factory.mktemp("original") / "runs", 2)


@pytest.fixture
def copy(original, tmp_path):
    return shutil.copytree(original, tmp_path / "runs" / original.name)


def test_a_second_name_in_a_copied_run_stands_in_for_its_damaged_namesake(copy):
    damage(copy / "checkpoints" / "checkpoint_epoch_2")
    again = resumed(copy.parent, "auto", 2)
    assert came_from(again) == ("latest_checkpoint", "epoch 2, step 6")
    (line,) = (text for text in again.told if text.startswith("skipped "))
    assert line.startswith("skipped checkpoint_epoch_2: damaged")


def test_where_the_copies_are_damaged_too_the_one_before_is_chosen(copy):
    for name in names(copy.parent):
        if name != "checkpoint_epoch_1":
            damage(copy / "checkpoints" / name)
    assert choose(copy / "checkpoints").chosen.path.name == "checkpoint_epoch_1"


def test_of_hard_links_a_damaged_file_is_read_once(copy, monkeypatch):
    checkpoints, read = copy / "checkpoints", []
    for name in ("latest_checkpoint", "best_model", "final_model"):
        shutil.rmtree(checkpoints / name)
        shutil.copytree(
            checkpoints / "checkpoint_epoch_2", checkpoints / name, copy_function=os.link
        )
    damage(checkpoints / "checkpoint_epoch_2")
    monkeypatch.setattr("ckptkit.run.choose.verify", reading(read))
    assert choose(checkpoints).chosen.path.name == "checkpoint_epoch_1"
    assert read == ["checkpoint_epoch_2", "checkpoint_epoch_1"]


def reading(read):
    from ckptkit.run.choose import verify

    def noted(path, **options):
        read.append(path.name)
        return verify(path, **options)

    return noted


def test_a_deleted_best_is_rebuilt_from_a_whole_copy_of_the_damaged_one(copy):
    shutil.rmtree(copy / "checkpoints" / "best_model")
    damage(copy / "checkpoints" / "checkpoint_epoch_2")
    again = resumed(copy.parent, "best", 2)
    assert came_from(again) == ("best_model", "epoch 2, step 6")
    assert only_run(copy.parent) == copy


def test_a_run_that_was_renamed_below_its_root_is_gone_on_with(copy):
    copy.rename(copy.parent / "my favourite")
    again = resumed(copy.parent, "auto", 2)
    assert came_from(again)[1] == "epoch 2, step 6"
    assert only_run(copy.parent).name == "my favourite"
    assert ckptkit.open_run(copy.parent).folder.name == "my favourite"


def test_a_backup_beside_a_run_is_not_gone_on_with_in_its_place(copy):
    shutil.copytree(copy, copy.parent / "zz backup")
    again = resumed(copy.parent, "auto", 2)
    assert again.last.folder == copy
    assert not [text for text in again.told if "zz backup" in text]


def test_of_two_renamed_runs_the_one_that_was_saved_to_last_is_gone_on_with(copy):
    for number, name in enumerate(("b", "a")):
        shutil.copytree(copy, copy.parent / name)
        for seal in (copy.parent / name / "checkpoints").glob("*/manifest.msgpack"):
            os.utime(seal, (2e9 - number, 2e9 - number))
    shutil.rmtree(copy)
    assert [one.name for one in list_experiments(copy.parent)] == ["a", "b"]
    assert find_experiment(copy.parent).name == "b"


def test_a_renamed_run_with_a_newer_checkpoint_than_the_one_gone_on_with_is_named(copy):
    newer = shutil.copytree(copy, copy.parent / "other")
    for seal in (newer / "checkpoints").glob("*/manifest.msgpack"):
        os.utime(seal, (2e9, 2e9))
    again = resumed(copy.parent, "auto", 2)
    assert again.last.folder == copy
    assert "other was saved to later; resume='other' goes on with it" in again.told
    assert came_from(resumed(copy.parent, "other", 2))[1] == "epoch 2, step 6"


def test_folders_that_no_run_has_written_are_none_of_a_root(copy):
    """Another project's checkpoints folder beside ours is not gone on with unasked."""
    (copy.parent / "theirs" / "checkpoints").mkdir(parents=True)
    torch.save({}, copy.parent / "theirs" / "checkpoints" / "last.pt")
    assert [one.name for one in list_experiments(copy.parent)] == [copy.name]
