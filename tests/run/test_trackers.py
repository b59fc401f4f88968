"""A tracker is not the training: what fails in one costs no step, no save and no exit code."""

import signal

import pytest

import ckptkit
from ckptkit.errors import NotFoundError, UnrepresentableError
from ckptkit.run.options import RunOptions
from tests.run.small import Small, names, only_run, raising_at
from tests.run.test_failing import truth
from tests.run.test_stopping import sending_at, stopped


class Away:
    """A tracker of one's own whose server is away for one of its deeds, behind the first epoch."""

    name = "mine"

    def __init__(self, deed):
        self.deed, self.rows = deed, 0

    def open(self, logs, stored, step):
        self.rows = (stored or {}).get("rows", 0)

    def log(self, values, step):
        self.rows += 1
        self.fail("log")

    def flush(self):
        self.fail("flush")

    def state(self):
        self.fail("state")
        return {"rows": self.rows}

    def close(self):
        self.fail("close")

    def fail(self, deed):
        if deed == self.deed and self.rows > 4:
            raise ConnectionError("the server is away")


DEEDS = pytest.mark.parametrize("deed", ["log", "flush", "state", "close"])


@DEEDS
def test_a_tracker_that_fails_costs_nothing_and_is_told_once(tmp_path, deed):
    one = Small()
    one.train(tmp_path / "run", trackers=[Away(deed)])
    (told,) = (text for text in one.told if text.startswith("the tracker"))
    assert told.startswith("the tracker mine failed to ")
    assert "ConnectionError: the server is away; the training goes on" in told
    assert len(one.last.history["loss"]) == 3
    assert "final_model" in names(tmp_path / "run")
    assert one.bits() == truth(tmp_path)
    Small().train(tmp_path / "run")  # the folder is free


@DEEDS
def test_a_signal_saves_and_leaves_with_its_code_though_a_tracker_fails(tmp_path, deed):
    one = Small()
    inside = sending_at(4, signal.SIGTERM)
    assert stopped(one, tmp_path, inside=inside, trackers=[Away(deed)]) == 143
    assert "interrupted_checkpoint" in names(tmp_path)


def test_an_error_is_saved_though_a_tracker_fails_and_what_it_last_said_is_kept(tmp_path):
    with pytest.raises(ValueError, match="the script's own"):
        Small().train(tmp_path, inside=raising_at(7, ValueError("the script's own")),
                      trackers=[Away("state")])  # fmt: skip
    with ckptkit.load(only_run(tmp_path) / "checkpoints" / "error_checkpoint") as saved:
        assert saved.state("trackers") == {"mine": {"rows": 4}}


def test_a_tracker_whose_state_is_no_data_is_refused_before_anything_is_trained(tmp_path):
    class Odd(Away):
        def state(self):
            return {"client": self}

    one = Small()
    with pytest.raises(UnrepresentableError, match="trackers/mine/client"):
        one.train(tmp_path, trackers=[Odd("nothing")])
    assert one.seen == []


def test_a_tracker_is_closed_once_though_its_run_could_not_be_entered_again(tmp_path):
    closed = []

    class Counting(Away):
        def close(self):
            closed.append(self)

    run = Small().run(tmp_path, trackers=[Counting("nothing")])
    with run:
        pass
    run.options = RunOptions(resume="checkpoint_epoch_9", tell=print)
    with pytest.raises(NotFoundError):
        run.__enter__()
    assert len(closed) == 1


class Held(Small):
    def run(self, folder, **options):
        run = super().run(folder, **options)
        run.__enter__()
        run._watcher.unlisten()
        run._counter.detach = self.broken
        return run

    def broken(self):
        raise RuntimeError("a hook of somebody else's")


def test_whatever_fails_while_a_run_is_left_its_folder_is_free_afterwards(tmp_path):
    run = Held().run(tmp_path)
    with pytest.raises(RuntimeError, match="somebody else's"):
        run.__exit__(None, None, None)
    Small().train(tmp_path, 1)
