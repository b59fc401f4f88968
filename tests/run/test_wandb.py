"""Weights & Biases goes on as the same run, without a gap and without an overlap. Offline."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ckptkit
from ckptkit.errors import MissingExtraError, SettingError
from ckptkit.run import run
from ckptkit.run.mark import Mark
from ckptkit.run.policy import SavePolicy
from ckptkit.run.ranks import Ranks
from ckptkit.run.trackers import Trackers, WandB
from ckptkit.run.wandb_file import _records, rows_in_files
from tests.run.small import Small, only_run, raising_at

ROOT = Path(__file__).parents[2]
POLICY = SavePolicy(every_steps=2, every_epochs=1)
pytestmark = [
    pytest.mark.xdist_group("wandb"),  # its program listens in one place a process
    pytest.mark.real_library,
]


@pytest.fixture(autouse=True)
def offline(tmp_path_factory, monkeypatch):
    """No network, no account, and a home of its own. Returns the home."""
    pytest.importorskip("wandb")
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CONSOLE", "off")
    for name in ("WANDB_DIR", "WANDB_API_KEY", "WANDB_RUN_ID", "WANDB_RESUME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


def train(folder, epochs=3, *, trackers=("wandb",), **options):
    one = Small()
    one.train(folder, epochs, save=POLICY, trackers=trackers, **options)
    return one


def rows(folder):
    """What every offline file of the run holds, file by file: (run id, {number: row})."""
    found = sorted((only_run(folder) / "logs").glob("wandb/offline-run-*/*.wandb"))
    return [parsed(_records(path.read_bytes(), 0)) for path in found]


def parsed(records):
    proto = importlib.import_module("wandb.proto.wandb_internal_pb2")
    run_id, found = None, {}
    for record in map(proto.Record.FromString, records):
        if record.HasField("run"):
            run_id = record.run.run_id
        if record.HasField("history"):
            values = {item.nested_key[0]: item.value_json for item in record.history.item}
            mine = {name: float(v) for name, v in values.items() if not name.startswith("_")}
            assert record.history.step.num not in found
            found[record.history.step.num] = mine
    return run_id, found


def test_without_a_login_it_says_what_to_do_and_leaves_no_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(SettingError, match="wandb login, or set WANDB_MODE=offline"):
        train(tmp_path)
    assert not list(tmp_path.iterdir())
    importlib.import_module("wandb").teardown()  # it remembers the mode


def joined(folder):
    """The rows of a run over all its files, and the ids that they name."""
    files = rows(folder)
    whole = [(number, row) for _, found in files for number, row in found.items()]
    return {run_id for run_id, _ in files}, whole


def series(folder, name):
    return [(row["step"], row[name]) for _, row in joined(folder)[1] if name in row]


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Every row of the run that is never stopped, from a tracker of the test's own."""
    mine = Mine()
    train(tmp_path_factory.mktemp("truth"), trackers=[mine])
    return mine.rows


class Mine:
    """A tracker of a user."""

    name = "mine"

    def __init__(self):
        self.rows, self.said = [], []

    def open(self, logs, stored, step):
        self.said.append(("open", logs.name, stored, step))

    def log(self, values, step):
        self.rows.append({**values, "step": step})

    def flush(self):
        self.said.append("flush")

    def state(self):
        return {"rows": len(self.rows)}

    def close(self):
        self.said.append("close")


def test_a_stopped_run_goes_on_under_its_id_without_an_overlap_or_a_gap(tmp_path, truth):
    train(tmp_path, 1)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, inside=raising_at(5, KeyboardInterrupt()))
    older = only_run(tmp_path) / "checkpoints/checkpoint_step_4"
    train(tmp_path, resume=older)  # step 5 is logged already, as after a kill
    ids, whole = joined(tmp_path)
    assert len(ids) == 1
    assert [number for number, _ in whole] == [*range(len(truth))]
    assert [row for _, row in whole] == truth
    assert len(rows(tmp_path)) == 3  # one file a session


def test_rows_that_a_kill_takes_from_the_library_are_handed_in_again(tmp_path, truth):
    script = (
        "import os, signal; from tests.run.test_wandb import train; from tests.run import small\n"
        "def inside(run, now):\n"
        "    if now == 'before' and run.step == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"train(__import__('pathlib').Path({str(tmp_path)!r}), inside=inside)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("WANDB_SERVICE", None)  # else its rows go to this process's program
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    ((_, survived),) = rows(tmp_path)
    train(tmp_path)
    ids, whole = joined(tmp_path)
    assert len(ids - {None}) == 1
    assert [row for _, row in whole] == truth, f"{len(survived)} rows had survived"


def test_the_checkpoint_keeps_the_id_and_the_count_of_rows_and_the_folder_may_move(tmp_path):
    train(tmp_path / "here", 1)
    stored = ckptkit.load(only_run(tmp_path / "here") / "checkpoints/latest_checkpoint")
    ((run_id, found),) = rows(tmp_path / "here")
    assert stored.state("trackers") == {"wandb": {"id": run_id, "rows": len(found)}}
    (tmp_path / "here").rename(tmp_path / "there")
    train(tmp_path / "there", 2)
    assert joined(tmp_path / "there")[0] == {run_id}


def test_what_a_failed_step_has_logged_is_not_counted_by_the_checkpoint_of_the_step_before():
    tracker, marks = Mine(), [Mark(), Mark()]
    trackers = Trackers([tracker], print)
    trackers.open(Path(), {}, marks[0])
    trackers.log({"loss": 1.0}, 1, marks[0])
    trackers.log({"early": 1.0}, 2, marks[1])
    assert trackers.state_at(marks[1]) == {"mine": {"rows": 1}}
    assert trackers.state_at(Mark()) == {"mine": {"rows": 2}}


def test_a_run_that_began_without_it_may_get_it_later(tmp_path):
    train(tmp_path, 1, trackers=())
    train(tmp_path, 2)
    assert [step for step, _ in series(tmp_path, "loss")] == [4, 5, 6]


def test_an_id_of_ones_own_gets_the_rows_up_to_here(tmp_path, truth):
    train(tmp_path, 1, trackers=[WandB(id="first")])
    train(tmp_path, 3, trackers=[WandB(id="second")])
    found = dict(rows(tmp_path))
    assert [*found["second"].values()] == truth
    assert len(found["first"]) < len(truth)


def test_nothing_is_written_outside_of_the_runs_folder(tmp_path, offline, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    train(tmp_path / "run", 1)
    assert not [*(tmp_path / "cwd").iterdir()]
    assert {path.name for path in tmp_path.iterdir()} == {"cwd", "run"}
    outside = [path for path in offline.rglob("*") if path.is_file()]
    assert all(path.parent == offline / ".cache/wandb/logs" for path in outside)  # its own log


def test_without_the_library_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=r"pip install wandb"):
        train(tmp_path)


def test_a_process_that_is_not_the_first_logs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Ranks, "writes", False)
    monkeypatch.setattr(run, "decide_together", lambda _, decide: decide())  # no first one to ask
    mine = Mine()
    train(tmp_path, 1, trackers=["wandb", mine])
    assert not [*tmp_path.rglob("*wandb*"), *tmp_path.rglob("logs/*")]
    assert not mine.said
    assert not mine.rows


def test_a_tracker_of_ones_own_gets_back_what_it_gave(tmp_path):
    first, second = Mine(), Mine()
    train(tmp_path, 1, trackers=[first])
    train(tmp_path, 2, trackers=[second])
    assert first.said[0] == ("open", "logs", None, 0)
    assert first.said[-1] == "close"
    assert "flush" in first.said
    assert second.said[0] == ("open", "logs", {"rows": len(first.rows)}, 3)


def test_rows_are_counted_up_to_where_a_file_was_cut(tmp_path):
    tracker = WandB()
    tracker.open(tmp_path, None, 0)
    for step in range(400):
        tracker.log({"loss": step / 7}, step)
    tracker.close()
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    whole, run_id = path.read_bytes(), path.stem.removeprefix("run-")
    assert len(whole) > 3 * 32768
    assert rows_in_files(tmp_path, run_id) == 400
    counts = []
    for nbytes in range(0, len(whole), 1009):
        path.write_bytes(whole[:nbytes])
        counts.append(rows_in_files(tmp_path, run_id))
        assert counts[-1] == len(parsed(_records(path.read_bytes(), 0))[1])
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert max(counts[:-20]) < 400
    path.write_bytes(b"no such format" * 9000)
    assert rows_in_files(tmp_path, run_id) == 0
