"""What was handed over is what lies on the disk, with its digests, in one pass and little memory."""

from __future__ import annotations

import gc
import os
import random
import threading
import tracemalloc

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptkit.errors import NotFoundError, UnsafePathError, WriteFailedError
from ckptkit.storage.crew import BLOCK_NBYTES
from ckptkit.storage.write_plan import plan_runs
from ckptkit.storage.writer import SMALL_NBYTES, FileToWrite, write_files
from ckptkit.testing.faults import intercepted


class Bytes:
    """A source that counts how often each byte is read, and by whom."""

    def __init__(self, data: bytes) -> None:
        self.data, self.nbytes = data, len(data)
        self.reads: list[tuple[int, int]] = []
        self.threads: set[int] = set()

    def read_into(self, offset: int, out: memoryview) -> None:
        self.reads.append((offset, len(out)))
        self.threads.add(threading.get_ident())
        out[:] = memoryview(self.data)[offset : offset + len(out)]


SIZES = st.one_of(
    st.integers(0, 300),
    st.sampled_from([SMALL_NBYTES - 1, SMALL_NBYTES, SMALL_NBYTES + 1]),
    st.sampled_from([BLOCK_NBYTES - 1, BLOCK_NBYTES, BLOCK_NBYTES + 1, 2 * BLOCK_NBYTES + 1]),
)
FILES = st.lists(st.tuples(st.binary(max_size=40), st.lists(SIZES, max_size=25)), max_size=5)


@settings(max_examples=60, deadline=None)
@given(files=FILES, workers=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_byte_is_written_once_in_its_place(tmp_path_factory, files, workers, seed):
    folder, rng = tmp_path_factory.mktemp("w"), random.Random(seed)
    specs = [
        FileToWrite(f"f{i}", header, tuple(Bytes(rng.randbytes(n)) for n in sizes))
        for i, (header, sizes) in enumerate(files)
    ]
    told: list[int] = []
    written = write_files(folder, specs, workers=workers, progress=told.append)
    assert sorted(os.listdir(folder)) == [spec.name for spec in specs]
    for spec, done in zip(specs, written, strict=True):
        body = spec.header + b"".join(part.data for part in spec.parts)
        assert (folder / spec.name).read_bytes() == body
        assert (done.name, done.nbytes) == (spec.name, len(body))
        assert list(done.digests) == [xxhash.xxh3_128_digest(p.data) for p in spec.parts]
        for part in spec.parts:  # one pass, in order, by one thread
            assert [at for at, _ in part.reads] == list(range(0, part.nbytes, BLOCK_NBYTES))
            assert sum(n for _, n in part.reads) == part.nbytes
            assert len(part.threads) <= 1
    assert sum(told) == sum(part.nbytes for spec in specs for part in spec.parts)


@given(FILES, st.integers(1, 8))
def test_a_plan_covers_every_part_once(files, workers):
    sizes, headers = [s for _, s in files], [len(h) for h, _ in files]
    runs = plan_runs(sizes, headers, workers)
    assert {run.file for run in runs} == set(range(len(files)))
    for file, parts in enumerate(sizes):
        mine = sorted((run for run in runs if run.file == file), key=lambda run: run.first)
        assert [i for run in mine for i in range(run.first, run.stop)] == list(range(len(parts)))
        for run in mine:
            assert run.offset == headers[file] + sum(parts[: run.first])
            assert run.nbytes == sum(parts[run.first : run.stop])


def test_a_plan_starts_giants_first_and_shares_the_rest_evenly():
    sizes = [[4 << 20] * 100 + [900 << 20] + [4 << 20] * 100]
    runs = plan_runs(sizes, [0], 2)
    assert (runs[0].first, runs[0].stop) == (100, 101)
    assert max(run.nbytes for run in runs[1:]) <= 64 << 20


def test_a_write_that_the_system_cuts_short_is_continued(tmp_path, monkeypatch):
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: whole(fd, data[:70_001], at))
    parts = (Bytes(random.Random(1).randbytes(1_500_000)), Bytes(b"tail"))
    write_files(tmp_path, [FileToWrite("f", b"h" * 99_999, parts)])
    assert (tmp_path / "f").read_bytes() == b"h" * 99_999 + parts[0].data + b"tail"


def test_small_parts_share_write_calls(tmp_path):
    parts = tuple(Bytes(bytes([i % 251]) * 256) for i in range(20_000))
    with intercepted() as tape:
        write_files(tmp_path, [FileToWrite("f", b"h", parts)], workers=2)
    assert tape.names.count("pwrite") <= 1 + 2 * (20_000 * 256 // BLOCK_NBYTES + 1)
    assert (tmp_path / "f").read_bytes() == b"h" + b"".join(part.data for part in parts)


def test_a_hundred_thousand_parts_leave_the_collector_as_it_was(tmp_path):
    part = Bytes(bytes(256))
    written = write_files(tmp_path, [FileToWrite("f", b"", (part,) * 100_000)])
    assert len(written[0].digests) == 100_000
    assert gc.isenabled()


def test_memory_does_not_grow_with_the_file(tmp_path):
    class Zeros:
        nbytes = 96 << 20

        def read_into(self, offset, out):
            out[:4] = offset.to_bytes(4, "little")

    tracemalloc.start()
    try:
        write_files(tmp_path, [FileToWrite("f", b"", (Zeros(), Zeros()))], workers=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * (2 << 20)


def test_files_of_more_than_one_group_are_all_there(tmp_path):
    files = [FileToWrite(f"{i:03}", b"%d" % i, ()) for i in range(300)]
    assert len(write_files(tmp_path, files)) == 300
    assert [(tmp_path / f"{i:03}").read_bytes() for i in range(300)] == [
        b"%d" % i for i in range(300)
    ]


def test_files_are_made_under_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_files(tmp_path, [FileToWrite("f", b"", ())])
    finally:
        os.umask(old)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../x", "a//b", ".", "a\0b", "a/"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    with pytest.raises(UnsafePathError):
        write_files(tmp_path, [FileToWrite("good", b"", ()), FileToWrite(name, b"", ())])
    assert os.listdir(tmp_path) == []


def test_no_link_is_followed_and_no_file_overwritten(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "link").symlink_to(victim)
    for name in ("link", "victim"):
        with pytest.raises(WriteFailedError, match="EEXIST"):
            write_files(tmp_path, [FileToWrite(name, b"evil", ())])
        assert victim.read_bytes() == b"precious"
        assert (tmp_path / "link").is_symlink()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        write_files(tmp_path / "nowhere", [FileToWrite("f", b"", ())])


def test_progress_is_told_in_the_calling_thread(tmp_path):
    callers = set()
    parts = tuple(Bytes(bytes(3 << 20)) for _ in range(4))
    write_files(
        tmp_path, [FileToWrite("f", b"", parts)], workers=3,
        progress=lambda _: callers.add(threading.get_ident()),
    )  # fmt: skip
    assert callers == {threading.get_ident()}
