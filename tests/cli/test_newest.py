"""A run where one checkpoint is looked at: its newest is taken, and said to be."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.cli.test_startup import HEAVY, imported
from tests.run.small import trained


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of two epochs in runs/small."""
    folder = tmp_path_factory.mktemp("made")
    trained(folder / "runs" / "small", 2)
    return folder


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """The run's folder, as a path from where the command is called."""
    shutil.copytree(made, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    (name,) = (one.name for one in (tmp_path / "place" / "runs" / "small").iterdir())
    return f"runs/small/{name}"


WORDS = ["RUN", "RUN/checkpoints", "runs/small", "runs", ".", "small", "latest"]


@pytest.mark.parametrize("word", WORDS)
def test_a_run_stands_for_its_newest_checkpoint_as_it_does_for_resume(call, run, word):
    newest = f"{run}/checkpoints/checkpoint_epoch_2"
    result = call("inspect", "--json", word.replace("RUN", run))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["path"] == newest
    assert result.stderr == f"ckptkit: the newest checkpoint of {run} is checkpoint_epoch_2\n"


def test_check_and_diff_take_the_newest_too(call, run, tmp_path):
    older = f"{run}/checkpoints/checkpoint_epoch_1"
    assert "progress/epochs_completed" in call("diff", older, run).stdout
    assert call("diff", run, f"{run}/checkpoints/checkpoint_epoch_2").exit_code == 0
    factory = tmp_path / "place" / "net.py"
    factory.write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))\n"
    )
    result = call("check", run, "--model", f"{factory}:make", "--json")
    assert "the newest checkpoint of" in result.stderr
    assert json.loads(result.stdout)["path"].endswith("checkpoint_epoch_2")


def test_what_has_no_header_any_more_is_skipped_and_said_to_be(call, run):
    for path in ("checkpoint_epoch_2", "latest_checkpoint", "final_model", "best_model"):
        with open(f"{run}/checkpoints/{path}/manifest.msgpack", "wb") as file:
            file.write(b"no manifest")
    result = call("inspect", "--json", run)
    assert json.loads(result.stdout)["path"].endswith("checkpoint_epoch_1")
    assert "ckptkit: skipped checkpoint_epoch_2: " in result.stderr


def test_a_run_without_a_checkpoint_is_refused(call, run):
    shutil.rmtree(f"{run}/checkpoints")
    result = call("inspect", run)
    assert result.exit_code == 10
    assert "holds no checkpoint yet" in result.stderr


def test_a_checkpoint_is_looked_at_though_runs_lie_in_it(call, run, zoo, tmp_path):
    shutil.move("runs/small", tmp_path / "place" / "small")
    shutil.copy(zoo / "weights.safetensors", "model.safetensors")
    with open("config.json", "w") as file:
        file.write('{"model_type": "bert"}')
    result = call("inspect", "--json", ".")
    assert result.exit_code == 0, result.output
    assert (json.loads(result.stdout)["container"], result.stderr) == ("folder", "")


def test_a_file_that_is_called_latest_is_looked_at_itself(call, run, zoo):
    shutil.copy(zoo / "training.pt", "latest")
    told = json.loads(call("inspect", "--json", "latest").stdout)
    assert (told["path"], told["container"]) == ("latest", "torch-zip")


def test_what_is_nowhere_is_no_run(call, run):
    assert call("inspect", "nowhere").exit_code == 3


def test_no_heavy_library_is_imported_to_find_the_newest(run):
    assert not imported("inspect", run) & HEAVY
