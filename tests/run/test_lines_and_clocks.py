"""Which checkpoint is the newest, which the best: other processes, other lines, other clocks."""

import os
import shutil
from datetime import UTC, datetime

import pytest
import torch
from torch.utils.data import DataLoader

import ckptkit
from ckptkit.errors import AccessDeniedError, LockedError
from ckptkit.run import experiment as experiments
from ckptkit.run import holding, probe, resuming, rng
from ckptkit.run.experiment import make_experiment
from ckptkit.run.loaders import ResumableLoader
from ckptkit.run.policy import SavePolicy
from ckptkit.storage.lock import FolderLock
from tests.run.small import (
    Small,
    Worsening,
    came_from,
    names,
    only_run,
    raising_at,
    resumed,
    trained,
)
from tests.run.test_writers import Gate


def steps_of(folder, name):
    with ckptkit.load(only_run(folder) / "checkpoints" / name) as checkpoint:
        return checkpoint.state("progress")["optimizer_steps"]


# -- the newest -----------------------------------------------------------------------------------


def test_a_checkpoint_that_another_process_saved_before_the_lock_was_taken_is_gone_on_from(
    tmp_path, monkeypatch
):
    trained(tmp_path, 1)
    plain = holding.FolderLock

    def after_the_other(folder):
        monkeypatch.setattr(holding, "FolderLock", plain)
        trained(tmp_path, 2)  # it ends between our decision and our lock
        return plain(folder)

    monkeypatch.setattr(holding, "FolderLock", after_the_other)
    again = resumed(tmp_path, "auto")
    assert came_from(again) == ("checkpoint_epoch_2", "epoch 2, step 6")
    assert len(again.seen) == 3


def test_a_lock_that_was_taken_for_nothing_is_given_back(tmp_path, monkeypatch):
    run = trained(tmp_path, 1)

    def broken(_folder):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(holding, "survey", broken)
        with pytest.raises(MemoryError):
            resumed(tmp_path, "auto")
    FolderLock(run).release()


def test_the_holder_is_named_before_anything_is_changed(tmp_path):
    run = trained(tmp_path, 1)
    lock = FolderLock(run)
    try:
        with pytest.raises(LockedError):
            resumed(tmp_path, "auto")
    finally:
        lock.release()
    assert came_from(resumed(tmp_path, "auto"))[0] == "checkpoint_epoch_1"


def test_a_run_that_began_when_the_clock_had_gone_back_is_the_newest_all_the_same(tmp_path):
    first = make_experiment(tmp_path, datetime(2025, 10, 26, 2, 30, 0, tzinfo=UTC))
    second = make_experiment(tmp_path, datetime(2025, 10, 26, 2, 10, 0, tzinfo=UTC))
    third = make_experiment(tmp_path, datetime(2025, 10, 26, 2, 10, 1, tzinfo=UTC))
    assert [one.name for one in experiments.list_experiments(tmp_path)] == [
        first.name, second.name, third.name,
    ]  # fmt: skip


# -- the best -------------------------------------------------------------------------------------


@pytest.mark.parametrize("alone", [False, True])
def test_going_back_lets_best_model_be_of_the_line_that_goes_on(tmp_path, alone):
    Worsening().train(tmp_path, 3)
    assert steps_of(tmp_path, "best_model") == 6
    if alone:
        shutil.rmtree(only_run(tmp_path) / "checkpoints" / "checkpoint_epoch_2")
    one = Worsening()
    one.offset = 2  # its epochs are worse than the first
    one.train(tmp_path, 2, resume="checkpoint_epoch_1")
    assert steps_of(tmp_path, "best_model") == 3
    assert "checkpoint_epoch_1 takes its place" in one.said
    if alone:
        assert "best_model was of what the run has left: that is best_model.aside-1 now" in one.said
        assert steps_of(tmp_path, "best_model.aside-1") == 6
    assert came_from(resumed(tmp_path, "best")) == ("best_model", "epoch 1, step 3")


def test_a_new_best_of_another_line_does_not_destroy_the_only_copy_of_the_old_one(tmp_path):
    Worsening().train(tmp_path, 3)
    for name in ("checkpoint_epoch_2", "checkpoint_epoch_3"):
        shutil.rmtree(only_run(tmp_path) / "checkpoints" / name)

    class Slower(Worsening):
        def evaluate(self):
            return 0.8  # better than the first epoch, worse than what was left

    Slower().train(tmp_path, 2, resume="checkpoint_epoch_1")
    with ckptkit.load(only_run(tmp_path) / "checkpoints" / "best_model") as checkpoint:
        assert checkpoint.state("metrics")["best"]["value"] == 0.8
    with ckptkit.load(only_run(tmp_path) / "checkpoints" / "best_model.aside-1") as checkpoint:
        assert checkpoint.state("metrics")["best"]["value"] == 0.5


def test_going_on_leaves_best_model_where_it_is(tmp_path):
    Worsening().train(tmp_path, 3)
    again = Worsening()
    again.offset = 3
    again.train(tmp_path, 4)
    assert steps_of(tmp_path, "best_model") == 6
    assert "takes its place" not in again.said


def test_the_best_is_never_left_out_because_a_save_is_in_flight(tmp_path, monkeypatch):
    gate = Gate(monkeypatch)
    policy = SavePolicy(every_steps=1, best="val_loss", background=True, when_busy="skip")
    one = Small()

    def inside(run, moment):
        if run.step == 1 and moment == "before":
            assert gate.waiting.wait(60)

    def tail(_run):
        gate.opened.set()

    one.train(tmp_path, 1, save=policy, inside=inside, tail=tail)
    assert steps_of(tmp_path, "best_model") == 3
    told = [text for text in one.told if "is left out" in text]
    assert len(told) == 1  # once for the save that was in the way, not at each step


# -- what must not differ -------------------------------------------------------------------------


def test_batches_never_overtake_each_other_because_a_place_is_a_number(tmp_path):
    loader = DataLoader(range(8), batch_size=2, num_workers=1, in_order=False)
    assert ResumableLoader(loader)._inner.in_order


def test_a_probe_disturbs_no_stream_of_an_accelerator(monkeypatch):
    class Device:
        state = torch.tensor([7], dtype=torch.uint8)

        def get_rng_state_all(self):
            return [self.state.clone()]

        def set_rng_state(self, state, _index):
            self.state = state

        def device_count(self):
            return 1

    device = Device()
    monkeypatch.setattr(rng, "_accelerators", lambda: iter([("cuda", device)]))

    def draws():
        device.state = torch.tensor([8], dtype=torch.uint8)
        return 1.0

    probe.take_probe(draws)
    assert device.state.tolist() == [7]


def test_a_checkpoints_folder_that_may_not_be_written_is_refused_before_the_first_epoch(
    tmp_path, monkeypatch
):
    trained(tmp_path, 1)
    plain = os.access
    monkeypatch.setattr(
        experiments.os, "access",
        lambda path, mode: path.name != "checkpoints" and plain(path, mode),
    )  # fmt: skip
    with pytest.raises(AccessDeniedError, match="to be allowed to save here"):
        resumed(tmp_path, "auto")


@pytest.mark.parametrize("name", ["mein lauf", "запуск", "a'b\"c"])
def test_a_run_folder_may_have_any_name_and_be_a_link(tmp_path, name):
    real = tmp_path / "real" / name
    real.mkdir(parents=True)
    link = tmp_path / (name + " link")
    link.symlink_to(real)
    trained(link, 2)
    again = resumed(link, "auto")
    assert came_from(again)[1] == "epoch 2, step 6"
    assert "final_model" in names(real)


def test_a_clock_that_went_back_between_two_lines_does_not_give_the_newer_one_up(
    tmp_path, monkeypatch
):
    trained(tmp_path, 3)
    now = [2e9]
    monkeypatch.setattr(resuming.time, "time", lambda: now[0])
    resumed(tmp_path, "checkpoint_epoch_1", 2)
    now[0] = 1e9
    with pytest.raises(ValueError):
        resumed(tmp_path, "checkpoint_epoch_1", 3, inside=raising_at(4, ValueError()))
    assert came_from(resumed(tmp_path, "auto")) == ("error_checkpoint", "epoch 1, step 4")


def test_what_is_logged_before_the_first_epoch_is_in_no_row_so_that_a_resume_adds_none(tmp_path):
    class Checking(Small):
        """Evaluates before it trains, and then at every second epoch."""

        def loop(self, run, epochs, inside, tail):
            run.log(val_loss=99)
            for epoch in run.epochs(epochs):
                for batch in run.batches(self.loader):
                    self.step(run, batch, inside)
                if epoch % 2:
                    run.log(val_loss=self.evaluate())

    whole, again = Checking(), Checking()
    whole.train(tmp_path / "truth", 4)
    Checking().train(tmp_path / "run", 2)
    again.train(tmp_path / "run", 4)
    assert again.last.history == whole.last.history
    assert whole.last.history["val_loss"][::2] == [None, None]


def test_a_metric_that_is_watched_and_never_logged_is_told(tmp_path):
    one = Small()
    one.train(tmp_path, 1, save=SavePolicy(best="val_los"))
    told = "val_los was never logged as a number, so nothing is best; logged: loss, val_loss"
    assert one.told[-1] == told
