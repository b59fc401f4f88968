"""ckptkit.save killed, failed and unplugged at every system call: one checkpoint is always whole."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path

import pytest
import torch

import ckptkit
from ckptkit.errors import CkptkitError, TargetExistsError
from ckptkit.storage.leftovers import recover_two_step
from ckptkit.testing.faults import dies_at, failing_at, intercepted, lacking
from ckptkit.testing.powercut import power_cuts
from tests.faults.test_concurrent_writers import end_of, in_child

SYSTEMS = pytest.mark.parametrize(
    "system",
    [lacking(), lacking("renameat2", "renamex_np", "fallocate", "sync_file_range")],
    ids=["modern", "no-renameat2"],
)


def a_state(step: int) -> dict[str, object]:
    """A half frozen model, something strided, something small, something plain; all of it new.

    Every tensor is so small that torch needs no threads: a forked child has none of them.
    """
    frozen = torch.nn.Parameter(torch.arange(30_000.0), requires_grad=False)
    weight = torch.nn.Parameter(torch.full((300, 100), float(step)).t())
    model = torch.nn.ParameterDict({"frozen": frozen, "weight": weight})
    return {"model": model, "extra": {"step": step, "t": torch.full((3,), float(step))}}


OLD, NEW = a_state(1), a_state(2)


def save(target: Path, state: dict[str, object], **options: object) -> object:
    side = {"config.json": b"{}"}
    return ckptkit.save(target, state, provenance=False, side_files=side, **options)


def step_at(target: Path) -> int:
    """Which state lies there, whole to the byte."""
    assert ckptkit.verify(target).verdict == "verified"
    with ckptkit.load(target) as checkpoint:
        return checkpoint.document["extra"]["step"]


def prepared(folder: Path, before: dict[str, object] | None) -> Path:
    """A folder with one checkpoint, or none."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.mkdir(exist_ok=True)
    if before is not None:
        save(folder / "latest", before)
    return folder / "latest"


@SYSTEMS
@pytest.mark.parametrize("before", [None, OLD], ids=["new-target", "replace"])
def test_after_a_kill_at_any_call_a_whole_checkpoint_is_there(tmp_path, system, before):
    outcomes = set()
    for number in itertools.count(1):
        target = prepared(tmp_path / "run", before)
        died = dies_at(number, lambda t=target: save(t, NEW), first=system)
        recover_two_step(target)
        if before is None and not target.exists():
            outcomes.add(0)
        else:
            outcomes.add(step_at(target))
        save(target, NEW)  # the next writer
        assert step_at(target) == 2
        assert os.listdir(target.parent) == [target.name], f"leftovers of call {number} stay"
        if not died:
            break
    assert number > 20
    assert outcomes == {0 if before is None else 1, 2}


@SYSTEMS
def test_after_a_power_cut_at_any_call_a_whole_checkpoint_is_there(tmp_path, system):
    def contents(path: Path) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in path.iterdir()}

    save(tmp_path / "new", NEW)
    new = contents(tmp_path / "new")
    target = prepared(tmp_path / "run", OLD)
    old = contents(target)
    assert old["model-frozen.safetensors"] == new["model-frozen.safetensors"]
    frames = power_cuts(target.parent, lambda: save(target, NEW), first=system)
    assert any(frame.call.name == "link" for frame in frames)
    for frame in frames:
        for files in (frame.synced, frame.names):
            found: dict[str, dict[str, bytes]] = {}
            for name, body in files.items():
                folder, _, rest = name.partition("/")
                found.setdefault(folder, {})[rest] = body
            aside = next((folder for folder in found if ".old-" in folder), "")
            there = found.get(target.name) or found.get(aside, {})
            assert there in (old, new), frame.call
    assert contents(target) == new


@SYSTEMS
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_call_fails_the_save_and_leaves_the_old_one(tmp_path, system, code):
    failures = 0
    for number in itertools.count(1):
        target = prepared(tmp_path / "run", OLD)
        act = failing_at(number, code)

        def both(call, act=act):
            act(call)
            system(call)

        try:
            with intercepted(both) as tape:
                save(target, NEW)
        except CkptkitError:
            failures += 1
            recover_two_step(target)
            assert step_at(target) == 1
        else:
            assert step_at(target) == 2  # the call did not matter: a hint, a link, a cleaning
        if len(tape.calls) < number:
            break
    assert failures > 10


def test_writers_of_one_target_take_turns(tmp_path):
    target = prepared(tmp_path / "run", OLD)

    def work() -> None:
        for step in range(8):
            save(target, a_state(step))

    assert end_of([in_child(work) for _ in range(3)]) == [0, 0, 0]
    assert step_at(target) == 7
    assert os.listdir(target.parent) == [target.name]


def test_of_writers_that_do_not_replace_one_wins(tmp_path):
    target = prepared(tmp_path / "run", None)

    def work() -> None:
        try:
            save(target, NEW, replace=False)
        except TargetExistsError:
            os._exit(7)

    assert sorted(end_of([in_child(work) for _ in range(3)])) == [0, 7, 7]
    assert step_at(target) == 2


def test_what_cannot_be_saved_touches_no_disk(tmp_path):
    target = prepared(tmp_path / "run", OLD)
    with intercepted() as tape, pytest.raises(CkptkitError):
        save(target, {"extra": lambda: 0})
    assert "mkdir" not in tape.names
    assert step_at(target) == 1
