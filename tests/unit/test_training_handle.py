"""``ckptkit.trainer``: from Python as from the command line."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import ckptkit
from ckptkit.errors import MismatchError, SettingError, UnknownTrainerError
from tests.fake_trainer import calls, installed, write_plugin

QUIET = {"tell": lambda _: None}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with installed(write_plugin(tmp_path / "site", real=True)):
        yield ckptkit.trainer("tiny")


def test_it_trains_resumes_and_measures(tiny):
    view = tiny.train(epochs=1, width=5, run=QUIET)
    assert (view.folder.parent, view.history["epoch"]) == (Path("runs/tiny"), [1])
    again = tiny.resume(epochs=2, run=QUIET)
    assert (again.folder.resolve(), again.history["epoch"]) == (view.folder.resolve(), [1, 2])
    assert again.config["width"] == 5
    assert tiny.evaluate(limit=2)["n"] == 2
    assert tiny.sample(view.folder, which="best", num_samples=1)["pictures"] == ["samples/0.png"]
    assert calls("tiny_deeds")[1][0].name == "best_model"


def test_run_options_reach_the_run(tiny):
    told = []
    tiny.train("here", epochs=1, run={"tell": told.append})
    tiny.train("here", epochs=1, resume="auto", run={"tell": told.append})
    assert any("1 of 1 epochs are complete" in text for text in told)


def test_settings_are_checked_and_shown(tiny):
    assert tiny.config(lr="0.5").lr == 0.5
    with pytest.raises(SettingError, match="did you mean epochs"):
        tiny.config(epoch=1)
    assert [one.name for one in tiny.options][:2] == ["epochs", "width"]
    assert repr(tiny) == "<trainer tiny: a line through points>"


def test_a_checkpoint_of_another_trainer_is_refused(tiny):
    from dataclasses import replace

    view = tiny.train(epochs=1, run=QUIET)
    other = ckptkit.TrainerHandle(replace(tiny.offer, name="other"))
    with pytest.raises(MismatchError, match="is a checkpoint of the trainer tiny"):
        other.resume(view.folder)


def test_an_unknown_name_is_taught():
    with pytest.raises(UnknownTrainerError):
        ckptkit.trainer("no such trainer")


def test_the_config_of_a_run_is_a_plain_dataclass(tiny):
    assert tiny.config() == import_module("tiny_config").Config()
