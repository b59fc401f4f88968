"""A run that another process trains meanwhile, and whose old checkpoints go as new ones come."""

from __future__ import annotations

import json
import shutil

import pytest

from ckptkit.run import choose
from ckptkit.storage.lock import FolderLock
from ckptkit.training import run_it, start
from ckptkit.training.stored import read_stored_settings
from tests.cli.test_resume import only_run, place, site, trained  # noqa: F401

SECOND = ("latest_checkpoint", "best_model", "final_model")


@pytest.fixture
def run(place):  # noqa: F811
    """The run of two epochs, without its second names."""
    for name in SECOND:
        shutil.rmtree(only_run() / "checkpoints" / name, ignore_errors=True)
    return only_run() / "checkpoints"


def removing(name):
    """Read settings as ever, but for a training that has removed this one when it is first read."""

    def read(path):
        if path.name == name and path.exists():
            shutil.rmtree(path)
        return read_stored_settings(path)

    return read


def test_the_lock_answers_before_anything_is_gone_on_from(call, run, monkeypatch):
    monkeypatch.setattr(start, "read_stored_settings", removing("checkpoint_epoch_2"))
    lock = FolderLock(only_run())
    try:
        for words in (["resume", "latest"], ["train", "tiny", "--resume"]):
            result = call(*words, "--epochs", "3")
            assert result.exit_code == 43, result.output
            assert "trainer" not in result.stderr
    finally:
        lock.release()
    assert call("resume", "latest", "--epochs", "3").exit_code == 0


def test_a_plan_is_made_with_the_newest_that_is_left(call, run, monkeypatch):
    monkeypatch.setattr(start, "read_stored_settings", removing("checkpoint_epoch_2"))
    result = call("resume", "latest", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["checkpoint"] == str(run / "checkpoint_epoch_1")


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_a_deed_takes_the_newest_that_is_left(call, run, monkeypatch, command):
    monkeypatch.setattr(run_it, "read_stored_settings", removing("checkpoint_epoch_2"))
    result = call(command, "latest", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["checkpoint"] == str(run / "checkpoint_epoch_1")


def test_what_was_named_and_is_gone_is_said_to_be_gone(call, run, monkeypatch):
    monkeypatch.setattr(run_it, "read_stored_settings", removing("checkpoint_epoch_2"))
    assert call("sample", run / "checkpoint_epoch_2").exit_code == 3


def test_one_that_goes_while_it_is_verified_is_not_said_to_be_damaged(run, monkeypatch):
    verify = choose.verify

    def removed(path, **told):
        if path.name == "checkpoint_epoch_2":
            shutil.rmtree(path)
        return verify(path, **told)

    monkeypatch.setattr(choose, "verify", removed)
    found = choose.choose(run)
    assert found.chosen.path == run / "checkpoint_epoch_1"
    assert found.skipped == ()


def test_one_that_is_always_gone_ends_the_looking(run, monkeypatch):
    gone = choose.Skipped(run / "nowhere", "NotFound: there is nothing at this path")
    looks = []
    monkeypatch.setattr(
        choose, "_choose", lambda *_: looks.append(1) or choose.Choice(None, (gone,))
    )
    assert choose.choose(run).chosen is None
    assert len(looks) == choose.TRIES
