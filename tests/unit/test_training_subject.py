"""From a word to the run or the checkpoint that is meant, and to what is stored there."""

from __future__ import annotations

import os
import shutil

import pytest
import torch

from ckptkit.errors import CkptkitError, NoCheckpointError, NotFoundError
from ckptkit.training.build import Layer
from ckptkit.training.find import find_trainer
from ckptkit.training.start import plan_start
from ckptkit.training.stored import read_stored_settings
from ckptkit.training.subject import checkpoint_to_use, find_subject, settings_source
from tests.fake_trainer import installed, write_plugin
from tests.run.small import Small, only_run

CONFIG = {"epochs": 2, "lr": 0.5, "width": 8, "depth": 3}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return write_plugin(tmp_path_factory.mktemp("site"))


@pytest.fixture
def tiny(site):
    with installed(site):
        yield find_trainer("tiny")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """``runs/tiny`` with a run of two epochs, ``runs/other`` with an older one."""
    root = tmp_path_factory.mktemp("place")
    for name in ("other", "tiny"):
        Small().train(root / "runs" / name, 2, trainer="tiny", versions={"model": 1}, config=CONFIG)
    (root / "runs" / "empty").mkdir()
    return root


@pytest.fixture
def place(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "place", symlinks=True)
    runs = tmp_path / "place" / "runs"
    for name, time_s in (("other", 1000), ("tiny", 2000)):
        os.utime(only_run(runs / name) / "checkpoints", (time_s, time_s))
    monkeypatch.chdir(tmp_path / "place")
    return runs


def test_latest_is_the_run_whose_checkpoints_changed_last(place):
    assert find_subject("latest").path.parent.name == "tiny"
    os.utime(only_run(place / "other") / "checkpoints", (3000, 3000))
    assert find_subject("latest").path.parent.name == "other"


@pytest.mark.parametrize("word", ["runs/tiny", "tiny", "runs", "latest"])
def test_the_folder_of_runs_means_its_newest_run(place, word):
    subject = find_subject(word)
    assert subject.path.resolve() == only_run(place / "tiny").resolve()
    assert not subject.is_checkpoint
    assert subject.root.resolve() == (place / "tiny").resolve()


def test_a_run_and_its_folder_of_checkpoints_are_the_run(place):
    run = only_run(place / "tiny")
    for path in (run, run / "checkpoints"):
        assert find_subject(str(path)).path == run
        assert not find_subject(str(path)).is_checkpoint


@pytest.mark.parametrize("name", ["checkpoint_epoch_1", "best_model", "latest_checkpoint"])
def test_a_checkpoint_of_a_run_is_itself_and_knows_its_run(place, name):
    path = only_run(place / "tiny") / "checkpoints" / name
    subject = find_subject(str(path))
    assert (subject.path, subject.is_checkpoint) == (path, True)
    assert subject.experiment.folder == only_run(place / "tiny")
    assert checkpoint_to_use(subject) == path


def test_a_name_in_the_folder_of_checkpoints_itself_knows_its_run_too(place, monkeypatch):
    run = only_run(place / "tiny")
    monkeypatch.chdir(run / "checkpoints")
    subject = find_subject("checkpoint_epoch_1")
    assert subject.is_checkpoint
    assert subject.experiment.folder.resolve() == run.resolve()


def test_a_file_of_another_program_is_in_no_run(place, tmp_path):
    torch.save({"w": torch.zeros(2)}, tmp_path / "old.pt")
    subject = find_subject(str(tmp_path / "old.pt"))
    assert (subject.experiment, subject.is_checkpoint, subject.root) == (None, True, None)


def test_nothing_there_is_answered_with_the_runs_that_are(place):
    with pytest.raises(NotFoundError, match="there are runs in runs/other, runs/tiny"):
        find_subject("nowhere")


def test_no_run_at_all_is_answered_with_how_to_begin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoCheckpointError, match="ckptkit train NAME"):
        find_subject("latest")


def test_a_run_without_a_checkpoint_is_no_source_of_settings(place):
    run = place / "empty" / "20250101_000000_v1"
    (run / "checkpoints").mkdir(parents=True)
    with pytest.raises(NoCheckpointError, match="holds no checkpoint yet"):
        settings_source(find_subject(str(run)))
    with pytest.raises(NoCheckpointError, match="it is empty"):
        checkpoint_to_use(find_subject(str(run)))


def damage_all_but_the_first(run):
    """Damage the newest under each of its names: the copied run holds them as files of their own."""
    for path in (run / "checkpoints").glob("*/model.safetensors"):
        if path.parent.name != "checkpoint_epoch_1":
            with path.open("r+b") as file:
                file.seek(-2, os.SEEK_END)
                file.write(b"\x55\xaa")


def test_what_is_used_of_a_run_is_the_newest_that_is_whole(place):
    run = only_run(place / "tiny")
    assert checkpoint_to_use(find_subject(str(run))).name == "checkpoint_epoch_2"
    assert checkpoint_to_use(find_subject(str(run)), "best").name == "best_model"
    damage_all_but_the_first(run)
    assert checkpoint_to_use(find_subject(str(run))).name == "checkpoint_epoch_1"


def test_a_checkpoint_says_its_trainer_settings_and_place(place):
    stored = read_stored_settings(only_run(place / "tiny") / "checkpoints" / "checkpoint_epoch_2")
    assert (stored.trainer, stored.epochs, stored.steps, stored.ours) == ("tiny", 2, 6, True)
    assert stored.values == CONFIG


def start(tiny, place, resume, **said):
    return plan_start(tiny, place / "tiny", [Layer("option", said)], resume=resume)


def test_a_resume_begins_with_the_stored_settings_and_changes_what_was_said(tiny, place):
    planned = start(tiny, place, "auto", lr=0.25)
    assert (planned.config.width, planned.config.lr, planned.config.epochs) == (8, 0.25, 2)
    assert [(c.name, c.asked, c.saved) for c in planned.changes if c.name == "lr"] == [
        ("lr", 0.25, 0.5)
    ]
    assert planned.experiment == only_run(place / "tiny")
    assert planned.resume.endswith("checkpoint_epoch_2")
    assert any("no longer has: depth=3" in note for note in planned.notes)


@pytest.mark.parametrize("resume", ["never", None])
def test_a_new_run_begins_with_the_defaults(tiny, place, resume):
    before = sorted((place / "tiny").iterdir())
    planned = start(tiny, place, resume)
    assert (planned.config.width, planned.config.lr, planned.stored) == (6, 0.1, None)
    assert (planned.experiment, planned.resume) == (None, "never")
    assert sorted((place / "tiny").iterdir()) == before  # planning writes nothing


def test_with_nothing_to_go_on_from_auto_begins_and_says_so(tiny, tmp_path):
    planned = plan_start(tiny, tmp_path / "none", [], resume="auto")
    assert planned.notes == ("nothing to resume",)
    assert (planned.resume, (tmp_path / "none").exists()) == ("never", False)


def test_a_damaged_newest_is_passed_over_and_told(tiny, place):
    damage_all_but_the_first(only_run(place / "tiny"))
    planned = start(tiny, place, "auto")
    assert planned.resume.endswith("checkpoint_epoch_1")
    assert any(note.startswith("skipped checkpoint_epoch_2: damaged") for note in planned.notes)


def test_a_question_that_is_answered_no_begins_anew(tiny, place):
    asked = []
    for answer, word in ((False, "never"), (True, "checkpoint_epoch_2")):
        planned = plan_start(
            tiny, place / "tiny", [], resume=None, ask=lambda text: asked.append(text) or answer
        )
        assert planned.resume.endswith(word)
    assert "epoch 2, step 6" in asked[0]


def test_of_a_foreign_file_only_the_architecture_is_taken_over(tiny, place, tmp_path):
    config = {"lr": 0.5, "width": 12, "epochs": 99, "seed": 3}
    torch.save({"model_state_dict": {"w": torch.zeros(2)}, "config": config, "epoch": 7},
               tmp_path / "old.pt")  # fmt: skip
    planned = plan_start(tiny, tmp_path / "new", [], resume=str(tmp_path / "old.pt"))
    assert (planned.config.width, planned.config.lr, planned.config.epochs) == (12, 0.1, 3)
    assert planned.notes == ()
    assert planned.experiment is None
    assert planned.resume == str(tmp_path / "old.pt")


def test_what_is_named_and_not_there_is_an_error(tiny, place):
    with pytest.raises(CkptkitError, match="no checkpoint of this name"):
        start(tiny, place, "checkpoint_epoch_9")
