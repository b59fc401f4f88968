"""What was damaged, lost, moved or given up: what a run makes of it."""

import os
import shutil

import pytest

from ckptkit.errors import NoCheckpointError
from ckptkit.run.aliases import identity
from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, Worsening, came_from, only_run, raising_at, resumed, trained


def damage(checkpoint):
    """Change one byte in the middle of its weights; both of its names lose it, as one file does."""
    path = checkpoint / "model.safetensors"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 7)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def test_a_damaged_newest_checkpoint_is_skipped_by_name_and_reason(tmp_path):
    run = trained(tmp_path, 3)
    damage(run / "checkpoints" / "checkpoint_epoch_3")
    again = resumed(tmp_path, "auto")
    assert came_from(again) == ("checkpoint_epoch_2", "epoch 2, step 6")
    (line,) = (text for text in again.told if text.startswith("skipped checkpoint_epoch_3"))
    assert "damaged: model" in line
    whole = Small()
    whole.train(tmp_path / "truth")
    assert again.bits() == whole.bits()


def test_a_checkpoint_without_its_seal_is_skipped_by_name(tmp_path):
    run = trained(tmp_path, 2)
    (run / "checkpoints" / "checkpoint_epoch_2" / "manifest.msgpack").unlink()
    for name in ("latest_checkpoint", "best_model", "final_model"):
        shutil.rmtree(run / "checkpoints" / name)
    again = resumed(tmp_path, "auto")
    assert came_from(again)[0] == "checkpoint_epoch_1"
    assert any(text.startswith("skipped checkpoint_epoch_2: ") for text in again.told)


def test_where_none_verifies_nothing_is_begun_over_it(tmp_path):
    run = trained(tmp_path, 1)
    damage(run / "checkpoints" / "checkpoint_epoch_1")
    with pytest.raises(NoCheckpointError, match=r"none of . checkpoints is whole"):
        resumed(tmp_path, "auto")
    only_run(tmp_path)


def test_a_deleted_best_is_rebuilt_from_the_checkpoint_that_was_the_best(tmp_path):
    one = Worsening()
    one.train(tmp_path, 3)
    shutil.rmtree(only_run(tmp_path) / "checkpoints" / "best_model")
    again = resumed(tmp_path, "best")
    assert came_from(again) == ("best_model", "epoch 2, step 6")
    assert "best_model was missing; checkpoint_epoch_2 takes its place" in again.told


@pytest.mark.parametrize("epochs", [3, 4])
def test_a_deleted_best_is_rebuilt_by_any_resume_whether_or_not_it_trains(tmp_path, epochs):
    Worsening().train(tmp_path, 3)
    checkpoints = only_run(tmp_path) / "checkpoints"
    shutil.rmtree(checkpoints / "best_model")
    one = Worsening()
    one.offset = 3  # nothing better comes
    one.train(tmp_path, epochs)
    assert "best_model was missing; checkpoint_epoch_2 takes its place" in one.told
    assert identity(checkpoints / "best_model") == identity(checkpoints / "checkpoint_epoch_2")


def test_no_best_is_made_up_where_none_was_ever_known(tmp_path):
    trained(tmp_path, 1, save=SavePolicy(best="accuracy"))
    again = resumed(tmp_path, "auto", 1, save=SavePolicy(best="accuracy"))
    assert not (only_run(tmp_path) / "checkpoints" / "best_model").exists()
    assert "best_model was missing" not in again.said


def test_a_best_that_is_rebuilt_is_of_the_line_that_goes_on(tmp_path):
    Worsening().train(tmp_path, 3)
    checkpoints = only_run(tmp_path) / "checkpoints"
    shutil.rmtree(checkpoints / "best_model")
    again = resumed(tmp_path, "checkpoint_epoch_1", 1)
    assert identity(checkpoints / "best_model") == identity(checkpoints / "checkpoint_epoch_1")
    assert "best_model was missing; checkpoint_epoch_1 takes its place" in again.told


def test_where_the_best_itself_is_gone_the_most_recent_stands_in_with_a_warning(tmp_path):
    one = Worsening()
    one.train(tmp_path, 3)
    for name in ("best_model", "checkpoint_epoch_2"):
        shutil.rmtree(only_run(tmp_path) / "checkpoints" / name)
    again = resumed(tmp_path, "best")
    assert came_from(again) == ("best_model", "epoch 3, step 9")
    (note,) = (text for text in again.told if text.startswith("best_model was missing"))
    assert note.endswith("the most recent one, which may not be the best")


def test_all_periodic_checkpoints_deleted_leaves_the_last_and_the_best(tmp_path):
    """Seed 002: rm checkpoint_epoch_*."""
    run = trained(tmp_path, 2)
    for path in (run / "checkpoints").glob("checkpoint_epoch_*"):
        shutil.rmtree(path)
    assert came_from(resumed(tmp_path, "auto"))[1] == "epoch 2, step 6"


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_moved_or_copied_run_goes_on_where_it_is_now(tmp_path, move):
    folder = trained(tmp_path / "here", 2).parent
    move(folder, tmp_path / "there")
    again = resumed(tmp_path / "there", "auto")
    assert again.last.folder.parent == tmp_path / "there"
    whole = Small()
    whole.train(tmp_path / "truth")
    assert again.bits() == whole.bits()


def test_the_run_folder_itself_may_be_given_and_renamed(tmp_path):
    run = trained(tmp_path / "here", 2)
    run.rename(tmp_path / "my-favourite")
    again = resumed(tmp_path / "my-favourite", "auto")
    assert again.last.folder == tmp_path / "my-favourite"
    assert len(again.seen) == 3


def test_a_run_that_failed_in_its_first_step_says_that_it_stands_at_its_beginning(tmp_path):
    with pytest.raises(ValueError):
        trained(tmp_path, 1, inside=raising_at(0, ValueError()))
    again = resumed(tmp_path, "auto", 1)
    assert came_from(again) == ("error_checkpoint", "epoch 0, step 0")
    assert "does not say how far" not in again.said


def test_nothing_in_a_run_folder_is_an_absolute_path(tmp_path):
    run = trained(tmp_path, 2)
    mine = os.fsencode(tmp_path)
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if mine in path.read_bytes()] == []


def test_going_back_on_purpose_leaves_what_came_after_behind(tmp_path):
    """After a resume from the best, "latest" means the newest of this line, not of the old one."""
    trained(tmp_path, 3)
    with pytest.raises(ValueError):
        resumed(tmp_path, "checkpoint_epoch_1", inside=raising_at(5, ValueError()),
                save=SavePolicy(every_steps=1, every_epochs=0))  # fmt: skip
    again = resumed(tmp_path, "auto")
    assert came_from(again)[1] == "epoch 1, step 5"
