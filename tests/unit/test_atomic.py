"""Staging: who may write where, what is replaced, whose leftovers are removed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from ckptkit.errors import (
    AccessDeniedError,
    NotFoundError,
    TargetExistsError,
    UnsafePathError,
    WriteFailedError,
)
from ckptkit.storage import leftovers, owner
from ckptkit.storage.atomic import stage
from ckptkit.storage.leftovers import clean_leftovers, hold, label_of, recover_two_step
from ckptkit.storage.linking import hard_link_or_copy
from ckptkit.storage.owner import current_owner, is_dead
from ckptkit.testing.faults import Call, failing_at, intercepted, lacking

SYSTEMS = pytest.mark.parametrize("system", [lacking(), lacking("renameat2")], ids=["new", "old"])


def seal(target, body=b"new", **options):
    with stage(target, **options) as staged:
        staged.write_last("manifest.msgpack", body)
        staged.commit()
    return staged


@SYSTEMS
def test_nothing_is_seen_before_the_commit_and_everything_after_it(tmp_path, system):
    target = tmp_path / "ckpt"
    with intercepted(system), stage(target) as staged:
        staged.write_last("manifest.msgpack", b"new")
        assert not target.exists()
        assert staged.path.parent == tmp_path
        assert staged.path.name.startswith(f".ckpt.stage-{os.getpid()}-")
        staged.commit()
        assert (target / "manifest.msgpack").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["ckpt"]


def test_without_a_commit_nothing_is_left(tmp_path):
    with stage(tmp_path / "ckpt") as staged:
        staged.write_last("x", b"")
    with pytest.raises(ValueError, match="mine"), stage(tmp_path / "ckpt"):
        raise ValueError("mine")
    assert os.listdir(tmp_path) == []


@SYSTEMS
@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "link", "broken link"])
def test_what_exists_is_replaced_only_when_asked(tmp_path, system, kind):
    target, outside = tmp_path / "ckpt", tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_bytes(b"keep")
    if kind.endswith("folder"):
        target.mkdir()
        if kind == "folder":
            (target / "old").write_bytes(b"old")
    elif kind == "file":
        target.write_bytes(b"old")
    else:
        target.symlink_to(outside if kind == "link" else tmp_path / "nowhere")
    with intercepted(system):
        with pytest.raises(TargetExistsError):
            seal(target)
        assert os.path.lexists(target)
        seal(target, replace=True)
    assert os.listdir(target) == ["manifest.msgpack"]
    assert not target.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["ckpt", "outside"]
    assert (outside / "keep").read_bytes() == b"keep"


@SYSTEMS
def test_a_target_made_meanwhile_is_not_overwritten(tmp_path, system):
    target = tmp_path / "ckpt"
    with intercepted(system), stage(target) as staged:
        target.mkdir()
        (target / "theirs").write_bytes(b"theirs")
        with pytest.raises(TargetExistsError):
            staged.commit()
    assert os.listdir(target) == ["theirs"]
    assert os.listdir(tmp_path) == ["ckpt"]


def test_the_kernel_itself_refuses_a_target_made_at_the_last_moment(tmp_path):
    """Made between every look and the rename: only RENAME_NOREPLACE can see it."""
    target = tmp_path / "ckpt"

    def race(call: Call) -> None:
        if call.name == "renameat2":
            target.mkdir()

    with pytest.raises(TargetExistsError), intercepted(race):
        seal(target)
    assert os.listdir(target) == []
    assert os.listdir(tmp_path) == ["ckpt"]


@SYSTEMS
def test_a_target_removed_meanwhile_is_simply_written(tmp_path, system):
    target = tmp_path / "ckpt"
    target.mkdir()
    real_rename = os.rename  # the one that is not watched

    def race(call: Call) -> None:
        if call.name in ("renameat2", "rename") and not (tmp_path / "gone").exists():
            real_rename(target, tmp_path / "gone")

    with intercepted(lambda call: (race(call), system(call))):
        seal(target, replace=True)
    assert os.listdir(target) == ["manifest.msgpack"]
    assert sorted(os.listdir(tmp_path)) == ["ckpt", "gone"]


def test_the_rename_is_taken_back_when_it_cannot_be_made_durable(tmp_path):
    target = tmp_path / "ckpt"
    seal(target, b"old")
    for number in (1, 2, 3):
        broken = failing_at(number, 5, ("fsync",))
        with intercepted(broken), pytest.raises(WriteFailedError):
            seal(target, replace=True)
        assert (target / "manifest.msgpack").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["ckpt"]


@pytest.mark.parametrize("bad", ["missing/ckpt", "file/ckpt"])
def test_a_parent_that_is_no_folder_is_named(tmp_path, bad):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotFoundError, match=bad.split("/")[0]), stage(tmp_path / bad):
        pass


def test_a_parent_that_may_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *a: False)  # root may write anywhere
    with pytest.raises(AccessDeniedError), stage(tmp_path / "ckpt"):
        pass


@pytest.mark.parametrize("name", ["/", "..", "."])
def test_a_target_without_a_name_is_refused(name):
    with pytest.raises(WriteFailedError), stage(owner.Path(name)):
        pass


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "-.-stage-1", ".hidden", "a b\nc"])
@SYSTEMS
def test_any_name_that_the_file_system_takes_will_do(tmp_path, name, system):
    target = tmp_path / name
    with intercepted(system):
        seal(target)
        seal(target, replace=True)
    assert os.listdir(tmp_path) == [name]


def test_folders_are_made_under_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        seal(tmp_path / "ckpt")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "ckpt").stat().st_mode) == 0o750


# -- leftovers --------------------------------------------------------------------------------


def dead_owner():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    return current_owner()._replace(pid=child.pid, start=1)


def leave(folder, kind, who, label="ckpt"):
    path = folder / f".{label}.{kind}-{who.text}-0123abcd"
    path.mkdir()
    (path / "manifest.msgpack").write_bytes(kind.encode())
    return path


def test_a_dead_writers_stage_goes_and_a_living_ones_stays(tmp_path):
    dead = leave(tmp_path, "stage", dead_owner())
    alive = leave(tmp_path, "stage", current_owner())
    assert clean_leftovers(tmp_path) == [dead]
    assert os.listdir(tmp_path) == [alive.name]


def test_a_reused_process_number_is_another_process(tmp_path):
    me = current_owner()
    leave(tmp_path, "stage", me._replace(start=me.start - 1))
    assert len(clean_leftovers(tmp_path)) == 1


def test_another_computers_stage_is_never_touched(tmp_path):
    who = dead_owner()._replace(host="00000000", boot="00000000", pids="00000000")
    leave(tmp_path, "stage", who)
    leave(tmp_path, "old", who)
    assert clean_leftovers(tmp_path) == []
    assert recover_two_step(tmp_path / "ckpt") is False
    assert len(os.listdir(tmp_path)) == 2


def test_another_container_of_this_kernel_is_alive_while_it_holds_its_lock(tmp_path):
    path = leave(tmp_path, "stage", dead_owner()._replace(host="00000000", pids="00000000"))
    fd = hold(path)
    assert clean_leftovers(tmp_path) == []
    os.close(fd)
    assert clean_leftovers(tmp_path) == [path]


def test_after_a_restart_of_this_computer_its_processes_are_dead(monkeypatch):
    who = current_owner()._replace(boot="00000000")
    monkeypatch.setattr(owner, "_read", lambda path: "an id")
    assert is_dead(who) is True
    monkeypatch.setattr(owner, "_read", lambda path: "")
    assert is_dead(who) is None


def test_a_zombie_is_dead():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        assert is_dead(current_owner()._replace(pid=pid)) is True
    finally:
        os.waitpid(pid, 0)


def test_the_only_copy_is_put_back_by_whoever_comes_next(tmp_path):
    leave(tmp_path, "old", dead_owner())
    assert clean_leftovers(tmp_path) == []
    assert os.listdir(tmp_path) == ["ckpt"]
    assert (tmp_path / "ckpt" / "manifest.msgpack").read_bytes() == b"old"


def test_a_moved_aside_checkpoint_goes_once_its_successor_is_there(tmp_path):
    seal(tmp_path / "ckpt")
    old = leave(tmp_path, "old", dead_owner())
    assert clean_leftovers(tmp_path) == [old]
    assert (tmp_path / "ckpt" / "manifest.msgpack").read_bytes() == b"new"


def test_a_long_name_is_restored_by_its_own_writer_and_never_removed_by_others(tmp_path):
    name = "x" * 250
    leave(tmp_path, "old", dead_owner(), label_of(name))
    assert clean_leftovers(tmp_path) == []
    assert recover_two_step(tmp_path / name) is True
    assert os.listdir(tmp_path) == [name]


def test_names_that_only_look_alike_are_left_alone(tmp_path):
    for name in (".ckpt.stage-", ".ckpt.stage-1-2", "ckpt.stage-1-2-3", ".x.old", ".git"):
        (tmp_path / name).mkdir()
    before = os.listdir(tmp_path)
    assert clean_leftovers(tmp_path) == []
    assert os.listdir(tmp_path) == before


def test_cleaning_follows_no_link(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_bytes(b"")
    stage_path = leave(tmp_path, "stage", dead_owner())
    (stage_path / "link").symlink_to(outside)
    link = tmp_path / f".l.stage-{dead_owner().text}-0123abcd"
    link.symlink_to(outside)
    clean_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["outside"]
    assert os.listdir(outside) == ["keep"]


# -- links ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 18, 31, 95])  # EPERM, EXDEV, EMLINK, EOPNOTSUPP
def test_an_unchanged_file_is_shared_or_else_copied(tmp_path, code):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(os.urandom(3 << 20))
    fault = failing_at(1, code, ("link",)) if code else lacking()
    with intercepted(fault) as tape:
        linked = hard_link_or_copy(source, target)
    assert linked == (code == 0)
    assert source.samefile(target) == linked
    assert target.read_bytes() == source.read_bytes()
    assert linked or "fsync" in tape.names


def test_only_a_regular_file_is_shared(tmp_path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    for name, error in (("link", UnsafePathError), ("none", NotFoundError)):
        with pytest.raises(error):
            hard_link_or_copy(tmp_path / name, tmp_path / "new")
    assert leftovers.remove(tmp_path / "never there")
