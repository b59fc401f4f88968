"""What a script logs is found again: of evaluations, behind the loops, under names of its own."""

import json

import pytest

import ckptkit
from ckptkit.errors import CkptkitError, UnrepresentableError
from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, only_run, seeded
from tests.run.test_leaving_loops import Leaving


def on_disk(folder):
    return json.loads((only_run(folder) / "history.json").read_text())


# -- evaluations ----------------------------------------------------------------------------------


class Held(Small):
    """Leaves an evaluation that something holds on to, as a progress bar does."""

    def evaluate(self):
        self.bars = getattr(self, "bars", [])
        self.bars.append(self.running.evaluate(range(3)))
        for _ in self.bars[-1]:
            self.running.log(part=1.0)
            break
        return 0.5

    def loop(self, run, epochs, inside, tail):
        self.running = run
        super().loop(run, epochs, inside, tail)


def test_an_evaluation_that_was_left_while_a_bar_holds_it_takes_nothing_of_the_next_epoch(tmp_path):
    one, plain = Held(), Small()
    one.train(tmp_path / "run")
    plain.train(tmp_path / "plain")
    assert one.last.history["loss"] == plain.last.history["loss"]
    assert "part" not in one.last.history


def test_an_evaluation_that_was_left_inside_a_body_takes_nothing_of_the_next_body(tmp_path):
    one, bars = Small(), []

    def look(run, moment):
        if run.step == 1 and moment == "before":
            bars.append(run.evaluate(range(3)))
            next(bars[-1])

    one.train(tmp_path / "run", 1, inside=look)
    assert one.last._loop.means.state()["loss"][1] == 2  # of three: one body's went with it


@pytest.mark.parametrize("lengths", [(3, 3), (3, 2), (2, 3)])
def test_what_is_logged_over_two_evaluations_side_by_side_is_not_lost(tmp_path, lengths):
    one = Small()
    with one.run(tmp_path) as run:
        for _ in run.epochs(1):
            for batch in run.batches(one.loader):
                one.step(run, batch, lambda *_: 0)
            both = [run.evaluate(range(length)) for length in lengths]
            for number, _ in zip(*both, strict=False):
                run.log(val=float(number))
    n = min(lengths)
    assert run.history["val"] == [sum(range(n)) / n]


def test_an_evaluation_inside_of_another_counts_for_both(tmp_path):
    one = Small()
    with one.run(tmp_path) as run:
        for _ in run.epochs(1):
            for batch in run.batches(one.loader):
                one.step(run, batch, lambda *_: 0)
            for outer in run.evaluate(range(2)):
                for inner in run.evaluate(range(2)):
                    run.log(inner=float(inner))
                run.log(outer=float(outer))
    assert (run.history["inner"], run.history["outer"]) == ([0.5], [0.5])


# -- behind the loops -----------------------------------------------------------------------------


def test_what_is_logged_behind_the_loops_stands_in_the_last_row_and_in_the_file(tmp_path):
    one = Small()
    with one.run(tmp_path) as run:
        run.log(before=7.0)
        one.loop(run, 2, lambda *_: 0, lambda *_: 0)
        for number in run.evaluate(range(3)):
            run.log(test=float(number))
        run.log(test_f1=0.8)
    for history in (run.history, on_disk(tmp_path)):
        assert history["epoch"] == [1, 2]
        assert (history["test"], history["test_f1"]) == ([None, 1.0], [None, 0.8])
        assert "before" not in history


def test_a_run_that_goes_on_logs_it_anew_at_its_end(tmp_path):
    for epochs in (1, 2, 2):
        one = Small()
        with one.run(tmp_path) as run:
            one.loop(run, epochs, lambda *_: 0, lambda *_: 0)
            run.log(test=float(epochs))
    assert on_disk(tmp_path)["test"] == [None, 2.0]


def test_a_resume_that_does_nothing_leaves_the_file_as_it_is(tmp_path):
    one = Small()
    with one.run(tmp_path) as run:
        one.loop(run, 1, lambda *_: 0, lambda *_: 0)
        run.log(test=1.0)
    before = (only_run(tmp_path) / "history.json").read_bytes()
    with one.run(tmp_path) as run:
        assert list(run.epochs(1)) == []
    assert (only_run(tmp_path) / "history.json").read_bytes() == before


def test_a_last_look_behind_a_break_does_not_replace_what_the_epoch_had(tmp_path):
    class LastLook(Leaving):
        def loop(self, run, epochs, inside, tail):
            super().loop(run, epochs, inside, tail)
            run.log(val_loss=99.0, test=1.0)

        def evaluate(self):
            return [3.0, 2.0, 1.0][len(self.seen) // 3 - 1]

    one = LastLook()
    one.until = 2
    one.train(tmp_path, 9)
    assert one.last.history["val_loss"] == [3.0, 2.0, 1.0]
    assert one.last.history["test"] == [None, None, 1.0]
    assert one.last.best == 1.0


@pytest.mark.parametrize("every", [0, 5])
def test_the_last_row_of_a_loop_of_steps_is_in_the_file_and_in_the_last_checkpoint(tmp_path, every):
    one = Small()
    with one.run(tmp_path, row_steps=10, save=SavePolicy(every_steps=every)) as run:
        for _ in run.steps(15):
            one.step(run, one.data[:4], lambda *_: 0)
    assert run.history["step"] == on_disk(tmp_path)["step"] == [10, 15]
    with ckptkit.load(only_run(tmp_path) / "checkpoints" / "final_model") as final:
        assert final.state("history")["step"] == [10, 15]


def test_the_steps_of_a_loop_behind_a_loop_of_steps_make_rows_of_the_usual_width(tmp_path):
    one = Small()
    with one.run(tmp_path, row_steps=10) as run:
        for target in (5, 25):
            for _ in run.steps(target):
                one.step(run, one.data[:4], lambda *_: 0)
        one.loop(run, 2, lambda *_: 0, lambda *_: 0)
    assert run.history["step"] == [5, 10, 20, 25, 28, 30, 31]


def test_rows_that_no_save_has_written_are_in_the_file_when_the_run_is_left(tmp_path):
    Small().train(tmp_path, 3, save=SavePolicy(every_epochs=2, final=False))
    assert on_disk(tmp_path)["epoch"] == [1, 2, 3]


# -- names, and the run's end ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["epoch", "step", "events"])
def test_a_metric_under_a_name_of_the_historys_own_is_refused_before_it_is_recorded(tmp_path, name):
    one = Small()
    with pytest.raises(UnrepresentableError, match=f"metric '{name}'.*name it my_{name}"):
        one.train(tmp_path, inside=lambda run, _: run.log({name: 1.0, "other": 1.0}))
    assert len(one.seen) == 1


@pytest.mark.parametrize("call", [
    lambda run: run.log(loss=1.0), lambda run: run.epochs(3), lambda run: run.steps(3),
    lambda run: run.batches([]), lambda run: run.evaluate([]), lambda run: run.stop(),
])  # fmt: skip
def test_a_run_that_was_not_entered_and_one_that_is_over_say_so(tmp_path, call):
    pytest.importorskip("tensorboard")
    one = Small()
    run = one.run(tmp_path, trackers=["tensorboard"])
    with pytest.raises(CkptkitError, match="the run was not entered; expected a call inside"):
        call(run)
    with run:
        one.loop(run, 1, lambda *_: 0, lambda *_: 0)
    with pytest.raises(CkptkitError, match="the run is over; expected a call inside"):
        call(run)
    assert run.epoch == 1


def test_a_run_is_entered_once_at_a_time_and_forgets_why_it_was_left_the_last_time(tmp_path):
    one = Small()
    run = one.run(tmp_path)
    with run:
        with pytest.raises(CkptkitError, match="is entered already"):
            run.__enter__()
        for _ in run.epochs(2):
            for batch in run.batches(one.loader):
                one.step(run, batch, lambda *_: 0)
                run.stop("enough")
    assert (run.stopped, run.step) == ("enough", 1)
    seeded(2)
    with run:
        one.loop(run, 2, lambda *_: 0, lambda *_: 0)
    assert (run.stopped, run.epoch) == ("", 2)
