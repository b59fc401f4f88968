"""Where a run goes on from: words, names, paths, a person's answer."""

import shutil
import sys
from types import SimpleNamespace

import pytest
import torch

from ckptkit.errors import CkptkitError, NotFoundError
from tests.on_terminal import on_terminal
from tests.run.small import Worsening, came_from, only_run, raising_at, resumed, trained


def test_auto_begins_where_there_is_nothing_and_goes_on_where_there_is(tmp_path):
    first = resumed(tmp_path, "auto", 1)
    assert first.told == [f"nothing to resume: a new run in {first.last.folder}"]
    second = resumed(tmp_path, "auto", 2)
    assert came_from(second) == ("checkpoint_epoch_1", "epoch 1, step 3")
    only_run(tmp_path)


def test_never_begins_a_new_run_beside_the_old_one(tmp_path):
    trained(tmp_path, 1)
    again = resumed(tmp_path, "never", 1)
    assert again.told == [f"a new run in {again.last.folder}"]
    assert len(list(tmp_path.iterdir())) == 2
    assert len(again.seen) == 3


def test_latest_is_the_newest_whatever_its_name_and_needs_one(tmp_path):
    with pytest.raises(NotFoundError, match="holds no run"):
        resumed(tmp_path / "none", "latest")
    with pytest.raises(ValueError):
        trained(tmp_path, inside=raising_at(4, ValueError()))
    assert came_from(resumed(tmp_path, "latest")) == ("error_checkpoint", "epoch 1, step 4")


def test_best_is_where_the_watched_metric_was_best(tmp_path):
    one = Worsening()
    one.train(tmp_path, 3)
    assert came_from(resumed(tmp_path, "best")) == ("best_model", "epoch 2, step 6")


@pytest.mark.parametrize("word", ["checkpoint_epoch_2", "best_model", "final_model"])
def test_a_checkpoint_of_the_newest_run_may_be_named(tmp_path, word):
    trained(tmp_path)
    assert came_from(resumed(tmp_path, word, 4))[0] == word


def test_a_run_may_be_named_and_another_one_is_untouched(tmp_path):
    old = trained(tmp_path, 2)
    resumed(tmp_path, "never", 1)
    again = resumed(tmp_path, old.name, 3)
    assert came_from(again) == ("checkpoint_epoch_2", "epoch 2, step 6")
    assert again.last.folder == old


def test_a_checkpoint_or_a_run_may_be_named_by_its_path(tmp_path, monkeypatch):
    run = trained(tmp_path, 2)
    path = run / "checkpoints" / "checkpoint_epoch_1"
    again = resumed(tmp_path, path)
    assert came_from(again) == ("checkpoint_epoch_1", "epoch 1, step 3")
    assert again.last.folder == run
    monkeypatch.chdir(run)
    again = resumed(tmp_path, "checkpoints/checkpoint_epoch_3", 3)
    assert came_from(again)[0] == "checkpoint_epoch_3"
    assert came_from(resumed(tmp_path, run))[1] == "epoch 3, step 9"


def test_a_path_outside_of_any_run_begins_a_new_run_with_it(tmp_path):
    run = trained(tmp_path / "a", 2)
    shutil.copytree(run / "checkpoints" / "checkpoint_epoch_2", tmp_path / "given")
    again = resumed(tmp_path / "b", tmp_path / "given")
    where = again.last.folder
    assert f"given lies in no run folder: a new run in {where} goes on from it" in again.told
    assert len(again.seen) == 3


def test_what_is_not_there_is_refused_with_what_is(tmp_path):
    trained(tmp_path, 1)
    with pytest.raises(NotFoundError) as caught:
        resumed(tmp_path, "checkpoint_epoch_9")
    assert "one of those that are there: best_model, checkpoint_epoch_1" in str(caught.value)
    with pytest.raises(NotFoundError, match=r"is no path, and .* holds no run of this name"):
        resumed(tmp_path / "empty", "chekpoint")


def test_a_wrong_name_is_answered_with_the_runs_that_are_there_too(tmp_path):
    run = trained(tmp_path, 1)
    with pytest.raises(
        NotFoundError, match=f"final_model, latest_checkpoint; or a run: {run.name}"
    ):
        resumed(tmp_path, "20240101_000000_v1")


def test_a_word_with_a_separator_is_a_path_and_no_checkpoints_name(tmp_path):
    trained(tmp_path, 1)
    with pytest.raises(NotFoundError, match=r"^runs/nowhere/x: there is nothing at this path"):
        resumed(tmp_path, "runs/nowhere/x")
    with pytest.raises(NotFoundError, match="nothing at this path"):
        resumed(tmp_path / "empty", tmp_path / "nowhere")


@pytest.mark.parametrize("given", ["no checkpoint", "another network"])
def test_what_cannot_be_gone_on_from_leaves_no_empty_run_behind(tmp_path, given):
    (tmp_path / "no checkpoint").write_text("import torch")
    torch.save({"other.weight": torch.zeros(2)}, tmp_path / "another network")
    with pytest.raises(CkptkitError):
        resumed(tmp_path / "runs", tmp_path / given)
    assert [*(tmp_path / "runs").iterdir()] == []


def test_a_new_run_that_could_not_begin_keeps_what_somebody_wrote_into_it(tmp_path):
    class Broken:
        name = "broken"

        def open(self, logs, *_):
            (logs / "first line").touch()
            raise ValueError("no server")

        def close(self):
            pass

        log = flush = state = close

    with pytest.raises(ValueError, match="no server"):
        resumed(tmp_path, "auto", 1, trackers=[Broken()])
    assert (only_run(tmp_path) / "logs" / "first line").exists()
    assert (only_run(tmp_path) / "checkpoints").is_dir()


def test_nothing_said_and_nobody_to_ask_begins_a_new_run(tmp_path):
    trained(tmp_path, 1)
    old = only_run(tmp_path)
    again = resumed(tmp_path, None, 1)
    assert len(again.seen) == 3
    assert len(list(tmp_path.iterdir())) == 2
    assert again.told == [f'a new run in {again.last.folder}; resume="auto" would go on with {old}']


ANSWERS = [("y\n", True), ("n\n", False), ("\n", False), ("what?\nYes\n", True), ("\x04", False)]


@pytest.mark.parametrize(("answer", "goes_on"), ANSWERS)
def test_on_a_terminal_a_person_is_asked(tmp_path, answer, goes_on):
    folder = trained(tmp_path / "run", 1).parent
    code = (
        "import sys; from tests.run.small import Small; from pathlib import Path; s = Small();"
        f"s.train(Path({str(folder)!r}), 1, resume=None); print('trained', len(s.seen))"
    )
    _, text = on_terminal([sys.executable, "-c", code], [answer.encode()])
    assert "checkpoint_epoch_1 (epoch 1, step 3). Resume from it? [y/N]: " in text
    assert ("trained 0" if goes_on else "trained 3") in text
    assert len(list(folder.iterdir())) == (1 if goes_on else 2)


def test_ctrl_c_at_the_question_leaves_and_begins_nothing(tmp_path, monkeypatch):
    trained(tmp_path, 1)

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True, readline=interrupted))
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: True, write=len, flush=dict))
    with pytest.raises(KeyboardInterrupt):
        resumed(tmp_path, None, 1)
    assert len(list(tmp_path.iterdir())) == 1
