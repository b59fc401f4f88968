"""TensorBoard goes on over resumes without a gap and without an overlap."""

import time

import pytest

import ckptkit
from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, only_run, raising_at

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


def train(folder, *, killed_at=None, moment="before"):
    one = Small()
    if killed_at is None:
        one.train(folder, save=POLICY, trackers=["tensorboard"])
        return

    class Killed(BaseException):
        """As kill -9: nothing is saved any more, what was logged is on disk."""

    with pytest.raises(Killed):
        one.train(folder, save=POLICY, trackers=["tensorboard"],
                  inside=raising_at(killed_at, Killed(), moment))  # fmt: skip


@pytest.mark.parametrize("killed", [(1,), (3,), (5,), (8,), (3, 5, 7)])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_a_killed_process_logged_too_far_is_not_there_twice(tmp_path, killed, moment):
    train(tmp_path / "truth")
    for step in killed:
        train(tmp_path / "run", killed_at=step, moment=moment)
    train(tmp_path / "run")
    assert series(tmp_path / "run") == series(tmp_path / "truth")
    assert [step for step, _ in series(tmp_path / "run")["loss"]] == [*range(1, 10)]


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
