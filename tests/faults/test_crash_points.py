"""Kill a save at every system call, pull the plug at every system call: one checkpoint is whole."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from ckptkit.storage.atomic import stage
from ckptkit.storage.catalog import is_leftover
from ckptkit.storage.writer import FileToWrite, write_files
from ckptkit.testing.faults import both, dies_at, intercepted, lacking
from ckptkit.testing.powercut import Files, power_cuts
from tests.faults.scene import NEW, OLD, prepare, read, recover, save

MODERN = lacking()
AGED = lacking("renameat2", "renamex_np", "fallocate", "sync_file_range")
SYSTEMS = pytest.mark.parametrize("system", [MODERN, AGED], ids=["modern", "no-renameat2"])
BEFORE = pytest.mark.parametrize("before", [None, OLD], ids=["new-target", "replace"])


@SYSTEMS
@BEFORE
@pytest.mark.parametrize(("torn", "workers"), [(False, 3), (True, 1)], ids=["killed", "torn-write"])
def test_after_a_kill_at_any_call_the_old_one_or_the_new_one_is_whole(
    tmp_path, system, before, torn, workers
):
    deaths, outcomes = 0, set()
    for number in itertools.count(1):
        target = prepare(tmp_path / "run", before)
        died = dies_at(
            number, lambda t=target: save(t, NEW, replace=bool(before), workers=workers),
            torn=torn, first=system,
        )  # fmt: skip
        found = recover(target)
        assert found in (before, NEW), f"call {number} left neither"
        outcomes.add(found == NEW)
        save(target, NEW, replace=True)  # the next writer
        assert read(target) == NEW
        assert os.listdir(target.parent) == [target.name], f"leftovers of call {number} stay"
        if not died:
            break
        deaths += 1
    assert deaths > 20
    assert outcomes == {False, True}


@SYSTEMS
def test_a_single_file_too_is_the_old_one_or_the_new_one(tmp_path, system):
    target = tmp_path / "run" / "model.safetensors"

    def export() -> None:
        with stage(target, replace=True, is_file=True) as staged:
            write_files(staged.path.parent, [FileToWrite(staged.path.name, b"new", ())])
            staged.commit()

    for number in itertools.count(1):
        prepare(tmp_path / "run", None)
        target.write_bytes(b"old")
        died = dies_at(number, export, first=system)
        recover(target)
        assert target.read_bytes() in (b"old", b"new")
        export()
        assert target.read_bytes() == b"new"
        assert os.listdir(target.parent) == [target.name]
        if not died:
            break
    assert number > 10


def _at(files: Files, target: Path) -> Files:
    """The checkpoint among the files that a power cut leaves, restored if it was moved aside."""
    prefix = f"{target.name}/"
    if not any(name.startswith(prefix) for name in files):
        olds = {name.split("/")[0] for name in files if is_leftover(name.split("/")[0])}
        olds = {name for name in olds if ".old-" in name}
        prefix = f"{olds.pop()}/" if olds else prefix
    return {
        name.removeprefix(prefix): body for name, body in files.items() if name.startswith(prefix)
    }


@SYSTEMS
@BEFORE
def test_after_a_power_cut_at_any_call_the_old_one_or_the_new_one_is_whole(
    tmp_path, system, before
):
    target = prepare(tmp_path / "run", before)
    frames = power_cuts(
        target.parent, lambda: save(target, NEW, replace=bool(before)), first=system
    )
    for frame in frames:
        for model in (frame.synced, frame.names):
            assert _at(model, target) in (before or {}, NEW), frame.call
    assert _at(frames[0].synced, target) == (before or {})
    assert _at(frames[-1].synced, target) == NEW


def test_the_power_cut_test_can_fail(tmp_path, monkeypatch):
    """Without its fsync calls the same save is found wanting."""
    monkeypatch.setattr("ckptkit.storage.kernel.sync", lambda fd: None)
    target = prepare(tmp_path / "run", OLD)
    frames = power_cuts(target.parent, lambda: save(target, NEW, replace=True))
    assert any(_at(frame.names, target) not in (OLD, NEW) for frame in frames)
    assert _at(frames[-1].synced, target) != NEW


@SYSTEMS
def test_every_call_of_a_save_is_seen(tmp_path, system):
    """The tape would be worthless if the save could change the disk behind its back."""
    target = prepare(tmp_path / "run", OLD)
    with intercepted(both(system, lambda call: None)) as tape:
        save(target, NEW, replace=True)
    files = len(NEW)
    folders = 3  # the stage, its folder "side", and the parent
    assert tape.names.count("fsync") == files + folders
    assert {"mkdir", "open", "pwrite", "fsync", "close", "unlink", "rmdir"} <= set(tape.names)
    assert tape.names.count("renameat2") + tape.names.count("rename") >= 1


def test_two_dead_writers_and_a_living_one(tmp_path):
    """The living writer's stage survives whatever the next writer cleans."""
    target = prepare(tmp_path / "run", OLD)
    for number in (12, 20):
        assert dies_at(number, lambda: save(target, NEW, replace=True))
    dead = [name for name in os.listdir(target.parent) if is_leftover(name)]
    assert len(dead) == 1  # the second cleaned up after the first
    with stage(target, replace=True) as living:
        save(target.with_name("another"), NEW, replace=False)
        assert living.path.is_dir()
        left = [name for name in os.listdir(target.parent) if is_leftover(name)]
        assert left == [living.path.name]
