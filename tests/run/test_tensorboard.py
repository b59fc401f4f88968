"""TensorBoard goes on over resumes without a gap and without an overlap."""

import time

import pytest

import ckptkit
from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, names, only_run

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

POLICY = SavePolicy(every_steps=2, every_epochs=1)


def series(folder):
    """name -> [(step, value)] as TensorBoard shows it."""
    found = accumulators.EventAccumulator(str(only_run(folder) / "logs"))
    found.Reload()
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def train(folder, **options):
    Small().train(folder, save=POLICY, trackers=["tensorboard"], **options)


class Killed(BaseException):
    """As kill -9: what was logged is on disk, and nothing is saved any more."""


def train_killed(folder, step, moment):
    def inside(run, now):
        if now == moment and run.step == step:
            if now == "tail":
                run.log(tail=step)
            run._watcher.at_once = True  # else the way out saves what is completed
            raise Killed

    with pytest.raises(Killed):
        Small().train(folder, save=POLICY, trackers=["tensorboard"], inside=inside,
                      tail=lambda run: (inside(run, "tail"), tailed(run)))  # fmt: skip
    assert "interrupted_checkpoint" not in names(folder)


def tailed(run):
    """What a script logs behind an epoch's batches."""
    run.log(tail=run.step)


@pytest.mark.parametrize("killed", [(1,), (3,), (5,), (8,), (3, 5, 7)])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_a_killed_process_logged_too_far_is_not_there_twice(tmp_path, killed, moment):
    train(tmp_path / "truth", tail=tailed)
    for step in killed:
        train_killed(tmp_path / "run", step, moment)
    train(tmp_path / "run", tail=tailed)
    assert series(tmp_path / "run") == series(tmp_path / "truth")
    assert [step for step, _ in series(tmp_path / "run")["loss"]] == [*range(1, 10)]


def test_what_was_logged_behind_a_save_of_the_epochs_last_step_is_not_there_twice(tmp_path):
    """At step 6 a checkpoint of the step is saved, before the epoch's values are logged."""
    train(tmp_path / "truth", tail=tailed)
    train_killed(tmp_path / "run", 6, "tail")
    assert "checkpoint_step_6" in names(tmp_path / "run")
    train(tmp_path / "run", tail=tailed)
    assert series(tmp_path / "run") == series(tmp_path / "truth")


class LogsFirst(Small):
    """Logs its loss before it steps."""

    def step(self, run, batch, inside):
        run.log(early=float(run.step))
        super().step(run, batch, inside)


def test_a_metric_belongs_to_the_step_under_way_wherever_in_the_body_it_is_logged(tmp_path):
    LogsFirst().train(tmp_path, 1, trackers=["tensorboard"])
    found = series(tmp_path)
    assert found["early"] == [(1, 0.0), (2, 1.0), (3, 2.0)]
    assert [step for step, _ in found["loss"]] == [1, 2, 3]
    assert [step for step, _ in found["val_loss"]] == [3]


def test_the_logs_lie_in_the_runs_own_folder_and_move_with_it(tmp_path):
    train(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    one = Small()
    one.train(tmp_path / "there", 4, save=POLICY, trackers=["tensorboard"])
    assert [step for step, _ in series(tmp_path / "there")["loss"]] == [*range(1, 13)]


def test_two_sessions_of_one_second_are_read_in_their_order(tmp_path):
    from ckptkit.run.trackers import TensorBoard

    (tmp_path / f"events.out.tfevents.{int(time.time())}.host.99999.0").touch()
    board = TensorBoard()
    board.open(tmp_path, None, 0)
    board.close()
    seconds = [int(path.name.split(".")[3]) for path in tmp_path.iterdir()]
    assert len({*seconds}) == 2


def test_a_board_in_another_folder_goes_on_there_and_no_path_to_it_is_stored(tmp_path):
    elsewhere = tmp_path / "boards"
    for epochs in (1, 2):
        board = ckptkit.TensorBoard(elsewhere)
        Small().train(tmp_path / "run", epochs, save=POLICY, trackers=[board])
    found = accumulators.EventAccumulator(str(elsewhere))
    found.Reload()
    assert [event.step for event in found.Scalars("loss")] == [*range(1, 7)]
    run = only_run(tmp_path / "run")
    assert not any((run / "logs").iterdir())
    with ckptkit.load(run / "checkpoints" / "final_model") as last:
        assert str(elsewhere) not in repr(last.state("trackers"))
