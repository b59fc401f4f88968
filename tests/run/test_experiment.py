"""Run folders are made once, found again, and never confused."""

from datetime import datetime

import pytest

from ckptkit.errors import AccessDeniedError, NotFoundError
from ckptkit.run.experiment import find_experiment, list_experiments, make_experiment
from ckptkit.run.names import Role, epoch_name, oom_name, role_of, step_name

NOW = datetime(2025, 12, 30, 15, 30, 45)  # noqa: DTZ001  a local time, as a person reads it


def seal(experiment, name="checkpoint_epoch_1"):
    folder = experiment.checkpoints / name
    folder.mkdir()
    (folder / "manifest.msgpack").write_bytes(b"x")


def test_a_run_folder_has_its_places(tmp_path):
    made = make_experiment(tmp_path / "unet" / "gaussian", NOW)
    assert made.name == "20251230_153045_v1"
    assert sorted(p.name for p in made.folder.iterdir()) == ["checkpoints", "logs", "samples"]


def test_a_run_folder_whose_maker_died_at_any_of_its_folders_is_made_whole(tmp_path):
    for number, inside in enumerate(("checkpoints", "samples", "logs")):
        made = make_experiment(tmp_path, NOW.replace(minute=number))
        (made.folder / inside).rmdir()
        made.complete()
        assert sorted(p.name for p in made.folder.iterdir()) == ["checkpoints", "logs", "samples"]


def test_two_runs_of_one_second_get_two_folders(tmp_path):
    assert [make_experiment(tmp_path, NOW).name[-2:] for _ in range(3)] == ["v1", "v2", "v3"]


def test_latest_is_the_newest_by_stamp_and_v10_comes_after_v9(tmp_path):
    for _ in range(10):
        made = make_experiment(tmp_path, NOW)
        seal(made)
    assert find_experiment(tmp_path).name == "20251230_153045_v10"
    assert len(list_experiments(tmp_path)) == 10


def test_a_run_that_died_before_its_first_save_does_not_hide_the_one_before(tmp_path):
    seal(make_experiment(tmp_path, NOW))
    make_experiment(tmp_path, NOW.replace(year=2026))
    assert find_experiment(tmp_path).name == "20251230_153045_v1"


def test_a_run_is_found_by_its_name_and_by_its_own_path(tmp_path):
    made = make_experiment(tmp_path, NOW)
    assert find_experiment(tmp_path, made.name).folder == made.folder
    assert find_experiment(made.folder).folder == made.folder


def test_a_name_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    make_experiment(tmp_path, NOW)
    with pytest.raises(NotFoundError, match="20251230_153045_v1"):
        find_experiment(tmp_path, "20240101_000000_v1")
    with pytest.raises(NotFoundError, match="holds no run"):
        find_experiment(tmp_path / "nowhere")


def test_a_folder_that_may_not_be_written_is_an_error_with_advice(tmp_path, monkeypatch):
    def refused(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refused)
    with pytest.raises(AccessDeniedError, match="choose another folder"):
        make_experiment(tmp_path, NOW)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        (epoch_name(7), Role("epoch", 7)),
        (step_name(17800), Role("step", 17800)),
        (oom_name(5), Role("emergency", 5)),
        ("latest_checkpoint", Role("alias")),
        ("best_model", Role("alias")),
        ("final_model", Role("final")),
        ("interrupted_checkpoint", Role("emergency")),
        ("error_checkpoint", Role("emergency")),
        ("my_own", Role("other")),
    ],
)
def test_a_name_says_what_a_checkpoint_is(name, role):
    assert role_of(name) == role
