"""``ckptkit prune``: what it shows is what it does, and it does nothing that nobody asked for."""

from __future__ import annotations

import json
import os
import sys

import pytest
import torch

import ckptkit
from ckptkit.run.aliases import point
from ckptkit.run.prune import PIN_NAME
from ckptkit.storage.lock import FolderLock
from tests.on_terminal import on_terminal

SCORES = {1: 5.0, 2: 1.0, 3: 2.0, 4: 4.0, 5: 3.0}


def save(path, epoch, *, measured=True):
    step = 10 * epoch if measured else 10 * epoch + 5
    rows = range(1, epoch + 1)
    ckptkit.save(
        path,
        {
            "model": {"w": torch.full((5000,), float(step))},
            "optimizer": {
                "state": {0: {"m": torch.full((5000,), float(step))}},
                "param_groups": [],
            },
            "progress": {"epochs_completed": epoch, "optimizer_steps": step},
            "history": {
                "epoch": list(rows),
                "step": [10 * row for row in rows],
                "val_loss": [SCORES[row] for row in rows],
            },
            "metrics": {
                "latest": {"val_loss": SCORES[epoch]},
                "best": {"name": "val_loss", "mode": "min"},
            },
        },
    )


@pytest.fixture
def run(tmp_path):
    """A run folder with five epochs; nothing in it is aliased."""
    folder = tmp_path / "demo" / "20260101_000000_v1"
    (folder / "checkpoints").mkdir(parents=True)
    for epoch in SCORES:
        save(folder / "checkpoints" / f"checkpoint_epoch_{epoch}", epoch)
    return folder


def left(run):
    names = os.listdir(run / "checkpoints")
    return sorted(n.removeprefix("checkpoint_") for n in names if not n.startswith("."))


def pruned(call, *words):
    result = call("prune", "--json", *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def kept(report):
    rows = report["checkpoints"]
    return [r["name"].removeprefix("checkpoint_") for r in rows if r["fate"] == "keep"][::-1]


@pytest.mark.parametrize(
    ("words", "stays"),
    [
        (["--keep-last", 2], ["epoch_4", "epoch_5"]),
        (["--keep-best", 2], ["epoch_2", "epoch_3", "epoch_5"]),
        (["--keep-best", 1, "--mode", "max"], ["epoch_1", "epoch_5"]),
        (["--every-epochs", 2], ["epoch_2", "epoch_4", "epoch_5"]),
        (["--every-steps", 30], ["epoch_3", "epoch_5"]),
        (["--hours", 1], ["epoch_5"]),
        (["--days", 3], ["epoch_5"]),
        (["--keep-last", 1, "--every-epochs", 4, "--keep-best", 1], ["epoch_2", "epoch_4", "epoch_5"]),
    ],
)  # fmt: skip
def test_each_policy_keeps_what_it_says_and_what_is_shown_is_what_is_done(call, run, words, stays):
    shown = pruned(call, run, *words, "--dry-run")
    assert left(run) == [f"epoch_{n}" for n in SCORES]
    assert kept(shown) == stays
    done = pruned(call, run, *words, "--yes")
    assert left(run) == stays
    assert [r["fate"] for r in done["checkpoints"]] == [r["fate"] for r in shown["checkpoints"]]
    assert all(r["done"] == (r["fate"] != "keep") for r in done["checkpoints"])


def test_what_it_says_it_frees_is_what_the_disk_gets_back(call, run):
    def used():
        files = {p.stat().st_ino: p.stat().st_size for p in run.rglob("*") if p.is_file()}
        return sum(files.values())

    checkpoints = run / "checkpoints"
    frozen = [checkpoints / f"checkpoint_epoch_{n}" / "frozen.bin" for n in (1, 2, 5)]
    frozen[0].write_bytes(bytes(10_000))  # three hold it, and the third stays
    pair = [checkpoints / f"checkpoint_epoch_{n}" / "pair.bin" for n in (1, 2)]
    pair[0].write_bytes(bytes(3_000))  # two hold it, and both go
    for other in frozen[1:]:
        os.link(frozen[0], other)
    os.link(pair[0], pair[1])
    before = used()
    report = pruned(call, run, "--keep-last", 1, "--yes")
    assert report["frees_nbytes"] == before - used() > 4 * 40_000


def test_the_root_of_runs_means_its_newest(call, run):
    newer = run.with_name("20270101_000000_v1")
    (newer / "checkpoints").mkdir(parents=True)
    for epoch in (1, 2):
        save(newer / "checkpoints" / f"checkpoint_epoch_{epoch}", epoch)
    report = pruned(call, run.parent, "--keep-last", 1, "--yes")
    assert report["path"] == str(newer)
    assert left(newer) == ["epoch_2"]
    assert len(left(run)) == 5


def test_a_bare_folder_and_the_checkpoints_of_a_run_will_do_too(call, run, tmp_path):
    assert pruned(call, run / "checkpoints", "--keep-last", 2, "--yes")["path"] == str(run)
    bare = tmp_path / "bare"
    bare.mkdir()
    for epoch in (1, 2):
        save(bare / f"checkpoint_epoch_{epoch}", epoch)
    pruned(call, bare, "--keep-last", 1, "--yes")
    assert [n for n in os.listdir(bare) if not n.startswith(".")] == ["checkpoint_epoch_2"]


def test_second_names_pins_and_strangers_stay_and_say_why(call, run):
    folder = run / "checkpoints"
    point(folder / "best_model", folder / "checkpoint_epoch_2")
    point(folder / "final_model", folder / "checkpoint_epoch_5")
    (folder / "checkpoint_epoch_1" / PIN_NAME).touch()
    (folder / "checkpoint_epoch_3").rename(folder / "interrupted_checkpoint")
    report = pruned(call, run, "--keep-last", 1, "--yes")
    why = {row["name"]: row["because"] for row in report["checkpoints"]}
    assert why["checkpoint_epoch_2"] == "best_model"
    assert why["checkpoint_epoch_1"] == "pinned"
    assert why["interrupted_checkpoint"] == "not a periodic checkpoint"
    assert why["checkpoint_epoch_5"] == "the newest"
    assert left(run) == ["best_model", "epoch_1", "epoch_2", "epoch_5", "final_model",
                         "interrupted_checkpoint"]  # fmt: skip


def test_the_recorded_best_stays_though_its_alias_was_lost(call, run):
    folder = run / "checkpoints"
    ckptkit.save(
        folder / "checkpoint_epoch_6",
        {
            "model": {"w": torch.zeros(3)},
            "progress": {"epochs_completed": 6, "optimizer_steps": 60},
            "metrics": {"best": {"name": "val_loss", "mode": "min", "value": 1.0, "epoch": 2, "step": 20}},
        },
    )  # fmt: skip
    report = pruned(call, run, "--keep-last", 1, "--yes")
    assert kept(report) == ["epoch_2", "epoch_6"]


def test_a_checkpoint_in_mid_epoch_is_not_credited_with_the_epoch_before(call, run):
    save(run / "checkpoints" / "checkpoint_step_25", 2, measured=False)
    report = pruned(call, run, "--keep-best", 1, "--dry-run")
    scores = {row["name"]: row["score"] for row in report["checkpoints"]}
    assert scores["checkpoint_step_25"] is None
    assert kept(report) == ["epoch_2", "epoch_5"]


def test_pin_keeps_now_and_later(call, run):
    assert call("prune", run, "--pin", "checkpoint_epoch_1").exit_code == 0
    assert len(left(run)) == 5
    pruned(call, run, "--keep-last", 1, "--yes")
    assert left(run) == ["epoch_1", "epoch_5"]


def test_a_dry_run_pins_nothing_and_shows_what_a_pin_would_keep(call, run):
    report = pruned(call, run, "--keep-last", 1, "--pin", "checkpoint_epoch_1", "--dry-run")
    assert kept(report) == ["epoch_1", "epoch_5"]
    assert not (run / "checkpoints" / "checkpoint_epoch_1" / PIN_NAME).exists()


def test_a_pin_that_is_not_there_is_answered_with_those_that_are(call, run):
    result = call("prune", run, "--keep-last", 1, "--pin", "checkpoint_epoch_9", "--yes")
    assert result.exit_code == 3
    assert "checkpoint_epoch_5" in result.stderr
    assert len(left(run)) == 5
    assert call("prune", run, "--pin", "../checkpoints").exit_code == 3


def test_full_keeps_weights_alone_and_a_second_time_there_is_nothing_to_do(call, run):
    report = pruned(call, run, "--full", 2, "--yes")
    assert [row["fate"] for row in report["checkpoints"]] == [
        "keep",
        "keep",
        "slim",
        "slim",
        "slim",
    ]
    with ckptkit.load(run / "checkpoints" / "checkpoint_epoch_1") as slim:
        assert "model" in slim.document
        assert "optimizer" not in slim.document
    again = pruned(call, run, "--full", 2, "--yes")
    assert {row["fate"] for row in again["checkpoints"]} == {"keep"}
    assert "nothing to do" in call("prune", run, "--full", 2, "--yes").stdout


def damage(checkpoint):
    file = checkpoint / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)


def test_a_newest_with_a_flipped_bit_does_not_cost_the_one_that_verifies(call, run):
    damage(run / "checkpoints" / "checkpoint_epoch_5")
    result = call("prune", run, "--keep-last", 1, "--yes")
    assert result.exit_code == 0
    assert left(run) == ["epoch_4", "epoch_5"]
    assert "damaged, and not touched" in result.stdout


def test_one_found_damaged_while_its_weights_are_copied_stays_as_it_is(call, run):
    damage(run / "checkpoints" / "checkpoint_epoch_2")
    result = call("prune", run, "--full", 1, "--yes")
    assert result.exit_code == 0
    assert "left as it is: checkpoint_epoch_2" in result.stdout
    with ckptkit.load(run / "checkpoints" / "checkpoint_epoch_2") as untouched:
        assert "optimizer" in untouched.document


def test_weights_alone_keep_the_side_files_too(call, tmp_path):
    for epoch in (1, 2):
        ckptkit.save(
            tmp_path / f"checkpoint_epoch_{epoch}",
            {
                "model": {"w": torch.zeros(2)},
                "optimizer": {"m": torch.zeros(2)},
                "progress": {"epochs_completed": epoch, "optimizer_steps": epoch},
            },
            side_files={"config.json": b"{}"},
        )
    pruned(call, tmp_path, "--full", 1, "--yes")
    first = tmp_path / "checkpoint_epoch_1"
    assert sorted(os.listdir(first)) == ["config.json", "manifest.msgpack", "model.safetensors"]
    assert call("verify", first).exit_code == 0


def test_one_that_cannot_be_read_is_listed_and_never_touched(call, run):
    (run / "checkpoints" / "checkpoint_epoch_1" / "manifest.msgpack").write_bytes(b"no")
    report = pruned(call, run, "--keep-last", 1, "--yes")
    assert [os.path.basename(one["path"]) for one in report["damaged"]] == ["checkpoint_epoch_1"]
    assert left(run) == ["epoch_1", "epoch_5"]


def test_files_of_other_programs_are_named_and_left_alone(call, run):
    torch.save({"epoch": 1, "model": {"w": torch.zeros(2)}}, run / "checkpoints" / "epoch_1.pth")
    report = pruned(call, run, "--keep-last", 1, "--yes")
    assert report["other_files"] == ["epoch_1.pth"]
    assert left(run) == ["epoch_1.pth", "epoch_5"]


def test_a_folder_of_foreign_files_alone_is_answered_with_the_way_to_seal_them(call, tmp_path):
    torch.save({"model": {"w": torch.zeros(2)}}, tmp_path / "epoch_1.pth")
    result = call("prune", tmp_path, "--keep-last", 1, "--yes")
    assert result.exit_code == 10
    assert "migrate" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name what is to stay"),
        (["--keep-last", "0"], "0"),
        (["--keep-last", "-3"], "-3"),
        (["--keep-last", "two"], "two"),
        (["--keep-last", "1", "--mode", "max"], "--keep-best"),
        (["--keep-best", "1", "--mode", "avg"], "avg"),
        (["--keep-last", "1"], "--yes"),
        (["--keep-last", "1", "--json"], "--yes"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error_and_changes_nothing(call, run, words, said):
    result = call("prune", run, *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(left(run)) == 5


def test_the_best_of_what_has_no_score_is_refused(call, tmp_path):
    for epoch in (1, 2, 3):
        ckptkit.save(tmp_path / f"checkpoint_epoch_{epoch}", {"model": {"w": torch.zeros(2)}})
    result = call("prune", tmp_path, "--keep-best", 1, "--yes")
    assert result.exit_code == 2
    assert "how good" in result.stderr
    assert len([n for n in os.listdir(tmp_path) if not n.startswith(".")]) == 3


@pytest.mark.parametrize(("make", "code"), [("nothing", 3), ("empty", 10), ("checkpoint", 10)])
def test_what_is_no_run_is_said(call, run, tmp_path, make, code):
    path = {
        "nothing": tmp_path / "nowhere",
        "empty": tmp_path / "empty",
        "checkpoint": run / "checkpoints" / "checkpoint_epoch_1",
    }[make]
    if make == "empty":
        path.mkdir()
    result = call("prune", path, "--keep-last", 1, "--yes")
    assert result.exit_code == code
    assert len(left(run)) == 5


def test_while_a_trainer_holds_the_folder_nothing_goes_but_a_dry_run_looks(spawn, run):
    with FolderLock(run):
        refused = spawn("prune", run, "--keep-last", 1, "--yes")
        looked = spawn("prune", run, "--keep-last", 1, "--dry-run")
        pinned = spawn("prune", run, "--pin", "checkpoint_epoch_1")
    assert refused.code == 43
    assert str(os.getpid()) in refused.err
    assert (looked.code, pinned.code) == (0, 0)
    assert len(left(run)) == 5


def answered(answer, *words):
    """Run with a terminal; give the answer when asked, and no when asked again."""
    typed = [answer, b"n\n"] if answer else []
    return on_terminal([sys.executable, "-m", "ckptkit.cli.main", *words], typed)


@pytest.mark.parametrize(
    ("answer", "stays"), [(b"n\n", 5), (b"\n", 5), (b"maybe\n", 5), (b"y\n", 1), (b"YES\n", 1)]
)
def test_on_a_terminal_it_asks_and_only_yes_is_yes(run, answer, stays):
    code, out = answered(answer, "prune", run, "--keep-last", 1)
    assert code == 0
    assert "Remove 4 checkpoints and free" in out
    assert ("nothing was removed" in out) == (stays == 5)
    assert len(left(run)) == stays


def test_it_asks_nothing_where_nothing_goes(run):
    code, out = answered(b"", "prune", run, "--keep-last", 5)
    assert code == 0
    assert "[y/N]" not in out


def test_the_table_is_newest_first_with_reasons_and_the_sum(call, run):
    text = call("prune", run, "--keep-last", 1, "--keep-best", 1, "--full", 1, "--dry-run").stdout
    rows = [line.split()[0] for line in text.splitlines() if line.startswith("  checkpoint_")]
    assert rows == [f"checkpoint_epoch_{n}" for n in (5, 4, 3, 2, 1)]
    assert "val_loss" in text
    assert "one of the 1 best; only 1 stay whole" in text
    assert "would remove 3 checkpoints, keep only the weights of 1 and free" in text


def test_what_a_checkpoint_says_of_itself_cannot_reach_the_terminal(call, tmp_path):
    ckptkit.save(
        tmp_path / "checkpoint_epoch_1",
        {"model": {"w": torch.zeros(2)}, "metrics": {"best": {"name": "\x1b[2Jx", "mode": "min", "value": 1.0, "epoch": 1}}},
    )  # fmt: skip
    result = call("prune", tmp_path, "--keep-last", 1, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
