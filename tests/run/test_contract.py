"""The ten points of the run's contract, each by its number; docs/resume.md has the contract.

The rest of this folder tries every one of them from all sides; here each is held as a whole.
"""

import json
import signal
import subprocess
import sys

import pytest
from torch.utils.data import DataLoader

import ckptkit
from ckptkit.errors import LockedError, SettingConflictError
from ckptkit.run.policy import SavePolicy
from ckptkit.run.retention import KeepLast, Retention
from tests.run.small import Small, came_from, names, only_run, raising_at, resumed
from tests.run.test_recovery import damage
from tests.run.test_stopping import sending_at, stopped


def test_point_1_epochs_and_steps_are_completed_ones_and_the_place_is_in_samples(tmp_path):
    one = Small()
    assert stopped(one, tmp_path, inside=sending_at(4, signal.SIGTERM)) == 143
    with ckptkit.load(only_run(tmp_path) / "checkpoints" / "interrupted_checkpoint") as found:
        progress = found.state("progress")
        place = found.state("data")["places"]["train"]
    assert (progress["epochs_completed"], progress["optimizer_steps"]) == (1, 5)
    shown = {"items": 12, "order": "shuffled"}  # by the whole epoch
    assert place == {"seed": 0, "epoch": 1, "samples": 8, **shown}
    again = Small(batch_size=1)
    again.loader = DataLoader(again.data, batch_size=1, shuffle=True, num_workers=2)
    again.train(tmp_path, 2)
    assert len(again.seen) == 4  # the samples that were left, one by one
    assert sorted(n for batch in one.seen[3:] + again.seen for n in batch) == [*range(12)]


def test_point_2_stopped_anywhere_it_ends_in_the_same_bits(tmp_path):
    whole = Small(norm=True)
    whole.train(tmp_path / "truth")
    for step in (1, 3, 5):  # once in each epoch, each time in the run that was stopped before
        stopped(Small(norm=True), tmp_path / "run", inside=sending_at(step, signal.SIGTERM))
    again = resumed_with(Small(norm=True), tmp_path / "run")
    assert again.bits() == whole.bits()
    assert again.last.history == whole.last.history
    assert again.last.best == whole.last.best


def resumed_with(one, folder):
    one.train(folder)
    return one


def test_point_3_epochs_is_the_target_and_reaching_it_again_is_a_success(tmp_path):
    words = [sys.executable, "-m", "tests.run.trial", str(tmp_path), "--resume", "auto"]
    subprocess.run([*words, "--epochs", "2"], check=True, capture_output=True)
    again = subprocess.run([*words, "--epochs", "2"], check=False, capture_output=True, text=True)
    assert again.returncode == 0
    assert again.stderr.endswith("ckptkit: 2 of 2 epochs are complete: nothing to do\n")


def test_point_4_every_setting_has_a_policy_and_a_new_lr_wins(tmp_path):
    policies = {"hidden": "architecture"}
    Small().train(tmp_path, 1, config={"lr": 0.1, "hidden": 6}, policies=policies)
    again = Small(lr=0.05)
    again.train(tmp_path, 2, config={"lr": 0.05, "hidden": 6}, policies=policies)
    assert again.optimizer.param_groups[0]["lr"] == 0.05
    assert "setting  asked  saved  used\nlr       0.05   0.1    0.05" in again.told
    with pytest.raises(SettingConflictError, match="hidden is 7 and was 6"):
        Small().train(tmp_path, 3, config={"lr": 0.05, "hidden": 7}, policies=policies)


def test_point_5_signals_and_errors_save_what_is_complete_and_nothing_else(tmp_path):
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)):
        folder = tmp_path / str(code)
        assert stopped(Small(), folder, inside=sending_at(1, number)) == code
        assert names(folder) == ["interrupted_checkpoint"]
    for error, name in ((ValueError(), "error_checkpoint"),
                        (MemoryError(), "emergency_checkpoint_oom_epoch_1")):  # fmt: skip
        folder = tmp_path / name
        with pytest.raises(type(error)):
            Small().train(folder, inside=raising_at(1, error))
        assert names(folder) == [name]
        assert came_from(resumed(folder, "auto")) == (name, "epoch 0, step 1")


def test_point_6_latest_is_the_newest_that_verifies_and_the_damaged_one_is_named(tmp_path):
    Small().train(tmp_path, 2)
    folder = only_run(tmp_path) / "checkpoints"
    newest = (folder / "checkpoint_epoch_2" / "manifest.msgpack").read_bytes()
    assert (folder / "latest_checkpoint" / "manifest.msgpack").read_bytes() == newest
    damage(folder / "checkpoint_epoch_2")
    again = resumed(tmp_path, "latest")
    assert came_from(again)[0] == "checkpoint_epoch_1"
    assert any(text.startswith("skipped checkpoint_epoch_2: damaged: ") for text in again.told)


def test_point_7_retention_keeps_the_newest_the_best_and_what_is_pinned(tmp_path):
    policy = SavePolicy(every_epochs=1, best="val_loss")
    Small().train(tmp_path, 1, save=policy)
    (only_run(tmp_path) / "checkpoints" / "checkpoint_epoch_1" / "PINNED").touch()
    again = Small()
    again.train(tmp_path, 4, save=policy, retention=Retention(keep=KeepLast(1)))
    kept = {name for name in names(tmp_path) if "epoch" in name}
    assert kept == {"checkpoint_epoch_1", "checkpoint_epoch_4",
                    f"checkpoint_epoch_{again.last._saver.best.epoch}"}  # fmt: skip


def test_point_8_history_is_one_without_gaps_or_overlaps(tmp_path):
    whole = Small()
    whole.train(tmp_path / "truth")
    for step in (2, 4, 7):
        with pytest.raises(ValueError):
            Small().train(tmp_path / "run", inside=raising_at(step, ValueError()))
    Small().train(tmp_path / "run")
    history, truth = (json.loads((only_run(tmp_path / place) / "history.json").read_text())
                      for place in ("run", "truth"))  # fmt: skip
    events = history.pop("events")
    truth.pop("events")
    assert history == truth
    assert history["epoch"] == [1, 2, 3]
    assert [one["kind"] for one in events].count("resumed") == 3
    assert [one["kind"] for one in events].count("error") == 3


def test_point_9_a_run_folder_has_one_writer(tmp_path):
    one = Small()
    with one.run(tmp_path):
        one_again = Small()
        with pytest.raises(LockedError, match="holds it since"):
            one_again.train(tmp_path)
    Small().train(tmp_path)


def test_point_10_the_run_folder_moves_freely(tmp_path):
    Small().train(tmp_path / "here", 2)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").rename(tmp_path / "elsewhere" / "now")
    whole = Small()
    whole.train(tmp_path / "truth")
    again = resumed(tmp_path / "elsewhere" / "now", "latest")
    assert again.bits() == whole.bits()
    assert again.last.folder.parent == tmp_path / "elsewhere" / "now"
