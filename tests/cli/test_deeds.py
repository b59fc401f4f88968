"""What ``sample`` and ``evaluate`` make of what an action gives back, and of where it cannot write."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ckptkit.cli.deeds import _done
from ckptkit.cli.render_training import deed
from ckptkit.cli.screen import show
from ckptkit.errors import UnknownTrainerError, WriteFailedError
from ckptkit.training.find import find_trainer
from ckptkit.training.run_it import Deed


@pytest.fixture
def planned(tmp_path):
    options = SimpleNamespace(out=str(tmp_path / "no" / "out"))
    return Deed(None, None, Path("run/checkpoint_epoch_2"), 2, 10, (), None, options)


def failing(monkeypatch, path):
    def do(_planned):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("ckptkit.training.run_it.do", do)


@pytest.mark.parametrize("inside", ["no", "no/out", "no/out/1.png"])
def test_a_place_that_cannot_be_written_is_the_matter_of_out(
    planned, tmp_path, monkeypatch, inside
):
    failing(monkeypatch, tmp_path / inside)
    with pytest.raises(WriteFailedError, match=r"permission denied; .*name another with --out"):
        _done(planned)


def test_another_file_that_cannot_be_read_stays_a_failure_of_the_action(
    planned, tmp_path, monkeypatch
):
    failing(monkeypatch, tmp_path / "weights")
    with pytest.raises(PermissionError):
        _done(planned)


def test_the_checkpoint_is_named_once(planned, capsys):
    found = {"checkpoint": "run/checkpoint_epoch_2", "epoch": 2, "step": 11, "loss": 0.5}
    show(deed(planned, found))
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["checkpoint", "run/checkpoint_epoch_2 (epoch 2, step 10)"], ["step", "11"],
        ["loss", "0.5"],
    ]  # fmt: skip


def test_a_trainer_that_was_left_out_is_said_to_be(monkeypatch):
    row = SimpleNamespace(name="restoration", state="disabled")
    monkeypatch.setattr("ckptkit.training.find.plugin_table", lambda: [row])
    monkeypatch.setattr("ckptkit.training.find.trainers", list)
    with pytest.raises(UnknownTrainerError, match="left out by CKPTKIT_DISABLE_PLUGINS"):
        find_trainer("restoration")
