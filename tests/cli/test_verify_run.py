"""``ckptkit verify RUN``: every checkpoint of a run is read, and what names share is read once."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tests.run.small import trained

SECOND = ["best_model", "final_model", "latest_checkpoint"]  # of the newest epoch, here


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    trained(folder / "small", 10)
    return folder


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """A run of ten epochs that was copied: names no longer share files."""
    shutil.copytree(made, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    (name,) = (one.name for one in (tmp_path / "place" / "small").iterdir())
    return f"small/{name}"


def told(call, run):
    """The verdict of each checkpoint by its name, and the exit code."""
    result = call("verify", "--json", run)
    paths = json.loads(result.stdout)["paths"]
    return {one["path"].rpartition("/")[2]: one["verdict"] for one in paths}, result.exit_code


def cut(run, name, file="model.safetensors"):
    with open(f"{run}/checkpoints/{name}/{file}", "r+b") as stored:
        stored.truncate(stored.seek(0, 2) - 5)


def test_each_is_a_line_and_second_names_come_last(call, run):
    result = call("verify", run)
    assert result.exit_code == 0, result.output
    names = [line.split()[0].rpartition("/")[2] for line in result.stdout.splitlines()]
    assert names == [f"checkpoint_epoch_{n}" for n in range(1, 11)] + SECOND
    assert result.stderr == f"ckptkit: every checkpoint of {run} is read: 13\n"


@pytest.mark.parametrize("name", ["checkpoint_epoch_10", "checkpoint_epoch_3", "best_model"])
@pytest.mark.parametrize("file", ["model.safetensors", "manifest.msgpack"])
def test_one_that_is_cut_makes_the_run_damaged_and_hides_no_other(call, run, name, file):
    cut(run, name, file)
    verdicts, code = told(call, run)
    assert code == 61
    assert {one for one in verdicts if verdicts[one] != "verified"} == {name}
    assert verdicts[name] == "damaged"
    assert len(verdicts) == 13


def test_files_with_several_names_are_read_once(call, made, run, monkeypatch):
    import ckptkit.verbs.verify

    read, before = [], ckptkit.verbs.verify.verify
    monkeypatch.setattr(
        ckptkit.verbs.verify,
        "verify",
        lambda path, **told: read.append(path) or before(path, **told),
    )
    (linked,) = (made / "small").iterdir()
    result = call("verify", "--json", linked)
    assert len(read) == 10
    paths = json.loads(result.stdout)["paths"]
    newest = str(linked / "checkpoints" / "checkpoint_epoch_10")
    assert [one.get("same_files_as") for one in paths] == [None] * 10 + [newest] * 3
    assert (
        "best_model  verified  the very files of checkpoint_epoch_10"
        in call("verify", linked).stdout
    )


def test_a_folder_whose_files_did_not_come_along_is_not_passed_over(call, run):
    shutil.rmtree(f"{run}/checkpoints/checkpoint_epoch_4")
    os.mkdir(f"{run}/checkpoints/checkpoint_epoch_4")
    verdicts, code = told(call, run)
    assert (verdicts["checkpoint_epoch_4"], code) == ("error", 10)
    assert verdicts["checkpoint_epoch_3"] == "verified"


def test_what_a_training_removes_meanwhile_is_no_damage(call, run, monkeypatch):
    import ckptkit.verbs.verify

    before = ckptkit.verbs.verify.verify

    def verify(path, **told):
        if path.endswith("checkpoint_epoch_5"):
            shutil.rmtree(path)
        return before(path, **told)

    monkeypatch.setattr(ckptkit.verbs.verify, "verify", verify)
    verdicts, code = told(call, run)
    assert code == 0
    assert "checkpoint_epoch_5" not in verdicts
    assert len(verdicts) == 12


def test_a_run_and_another_path_are_both_looked_at(call, run, zoo):
    cut(run, "checkpoint_epoch_10")
    result = call("verify", zoo / "sealed", run)
    assert result.exit_code == 61
    assert f"{zoo / 'sealed'}  verified" in result.stdout


def test_a_run_without_a_checkpoint_is_refused(call, run):
    shutil.rmtree(f"{run}/checkpoints")
    assert call("verify", run).exit_code == 10
