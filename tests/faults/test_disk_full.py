"""A full disk, a broken disk, a worker that fails: a plain message, nothing left, the old one intact."""

from __future__ import annotations

import errno
import itertools
import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

from ckptkit.errors import (
    AccessDeniedError,
    ChecksumError,
    CkptkitError,
    DiskFullError,
    StorageError,
    WriteFailedError,
)
from ckptkit.storage import kernel
from ckptkit.storage.atomic import stage
from ckptkit.storage.catalog import is_leftover
from ckptkit.storage.writer import FileToWrite, write_files
from ckptkit.testing.faults import (
    FailingSource,
    both,
    failing_at,
    file_size_limit,
    intercepted,
    lacking,
)
from tests.faults.scene import NEW, OLD, prepare, read, save

NUMBERS = re.compile(r"expected ([\d,]+) bytes; ([\d,]+) bytes are free")
GROWING = ("open", "mkdir", "write", "pwrite", "fsync", "ftruncate", "fallocate")
CHANGING = (*GROWING, "rename", "renameat2", "close")
SYSTEMS = pytest.mark.parametrize(
    "system", [lacking(), lacking("renameat2", "fallocate")], ids=["modern", "no-renameat2"]
)


def numbers(error: CkptkitError) -> tuple[int, int]:
    match = NUMBERS.search(str(error))
    assert match, str(error)
    needed, free = (int(text.replace(",", "")) for text in match.groups())
    return needed, free


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@SYSTEMS
@pytest.mark.parametrize("before", [None, OLD], ids=["new-target", "replace"])
@pytest.mark.parametrize(
    ("code", "names", "kinds"),
    [
        (errno.ENOSPC, GROWING, {DiskFullError}),
        (errno.EDQUOT, GROWING, {DiskFullError}),
        (errno.EIO, CHANGING, {WriteFailedError}),
        (errno.EROFS, GROWING, {AccessDeniedError}),
    ],
    ids=["ENOSPC", "EDQUOT", "EIO", "EROFS"],
)
def test_an_error_at_any_call_fails_the_save_and_changes_nothing(
    tmp_path, system, before, code, names, kinds
):
    fds, threads = open_fds(), threading.active_count()
    failures = 0
    for number in itertools.count(1):
        target = prepare(tmp_path / "run", before)
        fault = failing_at(number, code, names)
        try:
            with intercepted(both(fault, system)) as tape:
                save(target, NEW, replace=bool(before))
        except CkptkitError as error:
            failures += 1
            assert type(error) in kinds, f"call {number}: {error!r}"  # noqa: PT017
            assert read(target) == before, f"call {number} ({tape.names[-1]})"
            assert os.listdir(target.parent) == ([target.name] if before else [])
        else:
            assert read(target) == NEW
            if sum(name in names for name in tape.names) < number:
                break
        assert open_fds() == fds
        assert threading.active_count() == threads
    assert failures > 15


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_stays_broken_is_no_worse(tmp_path, code):
    for number in itertools.count(1):
        target = prepare(tmp_path / "run", OLD)
        fault = failing_at(number, code, (*CHANGING, "unlink", "rmdir"), lasting=True)
        try:
            with intercepted(fault):
                save(target, NEW, replace=True)
        except CkptkitError:
            # Nothing could be removed either, so a stage may stay: hidden, and for the next one.
            found = [name for name in os.listdir(target.parent) if not is_leftover(name)]
            assert found == [target.name]
            assert read(target) in (OLD, NEW)
        else:
            assert read(target) == NEW
            break
    assert number > 10


def test_the_old_checkpoint_that_cannot_be_removed_is_reported_not_fatal(tmp_path):
    target = prepare(tmp_path / "run", OLD)
    stuck = failing_at(1, errno.EIO, ("unlink", "rmdir"), lasting=True)
    with intercepted(stuck), stage(target, replace=True) as staged:
        staged.write_last("manifest.msgpack", b"new")
        staged.commit()
    assert read(target) == {"manifest.msgpack": b"new"}
    assert staged.left_behind is not None
    assert is_leftover(staged.left_behind.name)


def test_too_little_space_is_refused_before_anything_is_written(tmp_path):
    target = prepare(tmp_path / "run", OLD).with_name("another")
    refused = pytest.raises(DiskFullError)
    with refused as caught, intercepted() as tape, stage(target, needed_nbytes=1 << 60):
        raise AssertionError("never reached")
    needed, free = numbers(caught.value)
    space = os.statvfs(tmp_path)
    assert needed == 1 << 60
    assert abs(free - space.f_bfree * space.f_frsize) < 1 << 32
    assert tape.names == []


@pytest.mark.parametrize("allocates", [True, False], ids=["fallocate", "no-fallocate"])
def test_a_file_larger_than_the_process_may_write(tmp_path, allocates):
    target = prepare(tmp_path / "run", OLD)
    system = lacking() if allocates else lacking("fallocate")
    refused = pytest.raises(DiskFullError, match="size of a file")
    with file_size_limit(1 << 20), refused, intercepted(system):
        save(target, NEW, replace=True)
    assert read(target) == OLD
    assert os.listdir(target.parent) == [target.name]


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 2 MiB, where the system lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting needs root; the injected errors above cover the same path")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("allocates", [True, False], ids=["fallocate", "no-fallocate"])
def test_a_disk_that_really_is_full(small_disk, allocates):
    """1.4 MB of an old checkpoint, 0.6 MB free, 1.4 MB needed."""
    target = prepare(small_disk / "run", OLD)
    source = FailingSource(1_400_000, 1_400_000, ValueError("never"))
    system = lacking() if allocates else lacking("fallocate")
    refused = pytest.raises(DiskFullError)
    # Nobody said how much is needed, so that only the writing can find out.
    with refused as caught, intercepted(system), stage(target, replace=True) as staged:
        write_files(staged.path, [FileToWrite("model.safetensors", b"head", (source,))])
    needed, free = numbers(caught.value)
    assert needed == 1_400_004
    assert 400_000 < free < 700_000
    assert read(target) == OLD
    assert os.listdir(target.parent) == [target.name]


def test_a_full_disk_is_found_out_before_it_is_filled(small_disk):
    target = prepare(small_disk / "run", OLD)
    with pytest.raises(DiskFullError), intercepted() as tape:
        save(target, NEW, replace=True)
    assert tape.names == []


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("error", [ChecksumError("x", "bad CRC"), RuntimeError("a defect")])
def test_what_a_source_raises_comes_out_unchanged_and_stops_the_others(tmp_path, workers, error):
    fds, threads = open_fds(), threading.active_count()
    read_nbytes = []

    class Endless:
        nbytes = 1 << 34

        def read_into(self, offset, out):
            read_nbytes.append(len(out))

    target = prepare(tmp_path / "run", OLD)
    bad = FailingSource(3 << 20, 2 << 20, error)
    parts = (bad,) if workers == 1 else (bad, *[Endless()] * (workers - 1))
    refused, system = pytest.raises(type(error)), lacking("fallocate")
    with refused as caught, intercepted(system), stage(target, replace=True) as staged:
        write_files(staged.path, [FileToWrite("m", b"", parts)], workers=workers)
    assert caught.value is error
    assert sum(read_nbytes) < 1 << 30
    assert read(target) == OLD
    assert os.listdir(target.parent) == [target.name]
    assert open_fds() == fds
    assert threading.active_count() == threads


def test_a_failed_write_alone_removes_its_files(tmp_path):
    bad = FailingSource(100, 50, ChecksumError("x", "bad CRC"))
    files = [FileToWrite(f"f{i}", b"h", ()) for i in range(300)] + [FileToWrite("bad", b"", (bad,))]
    with pytest.raises(ChecksumError):
        write_files(tmp_path, files)
    assert os.listdir(tmp_path) == []


def test_ctrl_c_stops_the_workers_and_leaves_nothing(tmp_path):
    target = prepare(tmp_path / "run", OLD)
    parts = tuple(FailingSource(8 << 20, 8 << 20, ValueError()) for _ in range(8))

    def progress(nbytes: int) -> None:
        raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt), stage(target, replace=True) as staged:
        write_files(staged.path, [FileToWrite("m", b"", parts)], progress=progress)
    assert read(target) == OLD
    assert os.listdir(target.parent) == [target.name]
    assert threading.active_count() == threads


@pytest.mark.parametrize("code", [*kernel.UNSUPPORTED - {errno.EBADF}])
def test_a_file_system_that_cannot_allocate_or_exchange_is_served_all_the_same(tmp_path, code):
    target = prepare(tmp_path / "run", OLD)
    names = ("fallocate", "renameat2", "sync_file_range")
    with intercepted(failing_at(1, code, names, lasting=True)):
        save(target, NEW, replace=True)
    assert read(target) == NEW


def test_no_permission_has_its_own_error(tmp_path):
    parent = tmp_path / "sealed"
    parent.mkdir()
    with intercepted(failing_at(1, errno.EACCES, ("mkdir",))), pytest.raises(AccessDeniedError):
        save(parent / "checkpoint", NEW, replace=False)
    assert issubclass(DiskFullError, StorageError)
    assert list(Path(parent).iterdir()) == []
