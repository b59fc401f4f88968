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


@pytest.mark.parametrize("inside", ["run", "run/samples", "run/samples/1.png", "samples/1.png"])
def test_so_it_is_where_nothing_was_asked_for(monkeypatch, inside):
    options = SimpleNamespace(out="")
    planned = Deed(None, None, Path("run/checkpoints/best_model"), 2, 10, (), None, options)
    failing(monkeypatch, Path(inside))
    with pytest.raises(WriteFailedError, match="name another with --out"):
        _done(planned)
    failing(monkeypatch, Path("run/checkpoints/best_model/model.safetensors"))
    with pytest.raises(PermissionError):
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


def test_rows_stand_as_a_table_under_their_name(planned, capsys):
    rows = [{"what": "digit", "drawn": 0.5, "chance": 0.1}, {"what": "direction", "drawn": 0.75}]
    show(deed(planned, {"by_noise": rows}))
    shown = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert shown == [
        ["by", "noise"], ["what", "drawn", "chance"], ["digit", "0.5", "0.1"],
        ["direction", "0.75"],
    ]  # fmt: skip


def test_a_trainer_that_was_left_out_is_said_to_be(monkeypatch):
    row = SimpleNamespace(name="restoration", state="disabled")
    monkeypatch.setattr("ckptkit.training.find.plugin_table", lambda: [row])
    monkeypatch.setattr("ckptkit.training.find.trainers", list)
    with pytest.raises(UnknownTrainerError, match="left out by CKPTKIT_DISABLE_PLUGINS"):
        find_trainer("restoration")
