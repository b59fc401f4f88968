"""One writer a folder, whatever becomes of it."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from ckptkit.errors import AccessDeniedError, LockedError, NotFoundError
from ckptkit.storage.lock import LOCK_NAME, FolderLock, read_holder
from ckptkit.testing.faults import failing_at, intercepted

HOLD = (
    "import sys, os, time; from pathlib import Path; from ckptkit.storage.lock import FolderLock\n"
    "lock = FolderLock(Path(sys.argv[1]))\n"
    "child = sys.argv[2:] and os.fork() == 0\n"
    "if child or not sys.argv[2:]: print('held', flush=True)\n"  # a child: after its fork hooks
    "if child and sys.argv[2] == 'exec': os.execvp('sleep', ['sleep', '60'])\n"
    "time.sleep(60)"
)


@pytest.fixture
def holding(tmp_path):
    """Start processes that hold the lock of tmp_path; end them all afterwards."""
    started = []

    def start(*options: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), *options],
            stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_a_second_writer_is_told_who_holds_it(tmp_path, holding):
    process = holding()
    with pytest.raises(LockedError) as caught:
        FolderLock(tmp_path)
    assert f"process {process.pid} on {os.uname().nodename} holds it since 20" in str(caught.value)
    assert read_holder(tmp_path).owner.pid == process.pid


def test_a_killed_holders_lock_is_taken_over(tmp_path, holding):
    process = holding()
    process.kill()
    process.wait()
    assert read_holder(tmp_path) is None
    with FolderLock(tmp_path):
        assert read_holder(tmp_path).owner.pid == os.getpid()


@pytest.mark.parametrize("child", ["fork", "exec"])
def test_a_child_that_outlives_the_holder_does_not_keep_the_lock(tmp_path, holding, child):
    process = holding(child)
    process.kill()
    process.wait()
    with FolderLock(tmp_path):
        pass


def test_two_locks_of_one_process_exclude_each_other_too(tmp_path):
    with FolderLock(tmp_path), pytest.raises(LockedError):
        FolderLock(tmp_path)
    with FolderLock(tmp_path):
        pass


def test_release_frees_it_and_may_be_called_twice(tmp_path):
    lock = FolderLock(tmp_path)
    lock.release()
    lock.release()
    assert read_holder(tmp_path) is None
    assert (tmp_path / LOCK_NAME).read_bytes() == b""


def test_a_forked_child_neither_holds_nor_releases_it(tmp_path):
    lock = FolderLock(tmp_path)
    pid = os.fork()
    if pid == 0:
        lock.release()
        os._exit(0)
    os.waitpid(pid, 0)
    assert read_holder(tmp_path).owner.pid == os.getpid()
    with pytest.raises(LockedError):
        FolderLock(tmp_path)
    lock.release()


@pytest.fixture
def no_flock(monkeypatch):
    def refuse(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("no_flock")
def test_without_flock_the_file_decides(tmp_path, holding, monkeypatch):
    process = holding()
    with pytest.raises(LockedError, match=f"process {process.pid} "):
        FolderLock(tmp_path)
    process.kill()
    process.wait()
    FolderLock(tmp_path).release()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"pid": "x"}', b"9" * 9000])
def test_a_lock_file_with_nonsense_in_it_locks_nobody_out(tmp_path, content):
    (tmp_path / LOCK_NAME).write_bytes(content)
    assert read_holder(tmp_path) is None
    with FolderLock(tmp_path):
        assert read_holder(tmp_path).owner.pid == os.getpid()


def test_errors_are_our_own_and_nothing_stays_open(tmp_path):
    with pytest.raises(NotFoundError):
        FolderLock(tmp_path / "nowhere")
    fds = set(os.listdir("/proc/self/fd"))
    with intercepted(failing_at(1, errno.EROFS, ("open",))), pytest.raises(AccessDeniedError):
        FolderLock(tmp_path)
    with (
        intercepted(failing_at(1, errno.ENOSPC, ("pwrite",))),
        pytest.raises(Exception, match="free"),
    ):
        FolderLock(tmp_path)
    assert set(os.listdir("/proc/self/fd")) == fds
    with FolderLock(tmp_path):
        pass


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / LOCK_NAME).symlink_to(victim)
    with pytest.raises(Exception, match="ELOOP"):
        FolderLock(tmp_path)
    assert victim.read_bytes() == b"precious"


def test_a_lock_kept_by_what_a_dead_holder_left_says_so(tmp_path, holding):
    process = holding()
    inherited = os.open(tmp_path / LOCK_NAME, os.O_RDWR)
    process.kill()
    process.wait()
    fcntl.flock(inherited, fcntl.LOCK_EX)  # as a child that no fork hook could reach
    with pytest.raises(LockedError, match=f"process {process.pid} .* has ended, a child"):
        FolderLock(tmp_path)
    os.close(inherited)
