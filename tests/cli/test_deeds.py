"""What ``sample`` and ``evaluate`` make of what an action gives back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ckptkit.cli.render_training import deed
from ckptkit.cli.screen import show
from ckptkit.errors import UnknownTrainerError
from ckptkit.training.find import find_trainer
from ckptkit.training.run_it import Deed


@pytest.fixture
def planned():
    return Deed(None, None, Path("run/checkpoint_epoch_2"), 2, 10, (), None, None)


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
