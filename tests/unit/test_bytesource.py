"""Files by position: whole reads or a plain refusal, whatever the path turns out to be."""

import os
import socket
import threading

import pytest

from ckptkit.containers.bytesource import FileBytes, MemoryBytes, SlicedBytes, raise_os_error
from ckptkit.containers.probe import choose, make_probe
from ckptkit.errors import (
    AccessDeniedError,
    CorruptFileError,
    EmptyFileError,
    NoCheckpointError,
    NotFoundError,
    TruncatedFileError,
    UnknownFormatError,
)

DATA = bytes(range(256)) * 64


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "data.bin"
    target.write_bytes(DATA)
    return target


def filled(source, offset, nbytes):
    out = bytearray(nbytes)
    source.read_into(offset, memoryview(out))
    return bytes(out)


def test_a_file_is_read_by_position(path):
    with FileBytes(path) as file:
        assert file.nbytes == len(DATA)
        assert file.read(1000, 500) == DATA[1000:1500]
        assert filled(file, 3, 7) == DATA[3:10]
        assert file.head(10) == DATA[:10]
        assert file.read(len(DATA), 0) == b""


@pytest.mark.parametrize(("start", "nbytes"), [(-1, 4), (len(DATA) - 3, 4), (1 << 62, 1), (0, -1)])
def test_a_read_outside_of_the_file_is_refused(path, start, nbytes):
    with FileBytes(path) as file, pytest.raises(TruncatedFileError):
        file.read(start, nbytes)


def test_windows_and_slices_count_from_their_own_start(path):
    with FileBytes(path) as file:
        part = file.part(100, 200, "inner")
        assert part.read(10, 5) == DATA[110:115]
        assert part.part(50, 60, "deeper").read(0, 10) == DATA[150:160]
        assert filled(SlicedBytes(part, 20, 30), 5, 5) == DATA[125:130]
        with pytest.raises(TruncatedFileError, match="inner"):
            part.read(99, 2)
        with pytest.raises(TruncatedFileError):
            part.part(50, 101, "outside")
        with pytest.raises(TruncatedFileError):
            SlicedBytes(part, 90, 11)


def test_memory_is_a_source_too():
    source = MemoryBytes(b"0123456789")
    assert filled(source, 2, 3) == b"234"
    with pytest.raises(TruncatedFileError):
        filled(source, 8, 3)


def test_a_file_that_shrinks_is_an_error_and_no_crash(path):
    with FileBytes(path) as file:
        os.truncate(path, 100)
        with pytest.raises(TruncatedFileError, match="became shorter"):
            file.read(0, len(DATA))
        with pytest.raises(TruncatedFileError, match="became shorter"):
            filled(file, 50, 100)


def test_many_threads_read_one_file(path):
    wrong = []
    with FileBytes(path) as file:

        def work(step):
            starts = range(0, len(DATA) - 100, step)
            wrong.extend(at for at in starts if file.read(at, 100) != DATA[at : at + 100])

        threads = [threading.Thread(target=work, args=(step,)) for step in (97, 101, 103, 107)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_closed_file_says_so_in_our_words(path):
    file = FileBytes(path)
    file.close()
    file.close()
    with pytest.raises(CorruptFileError):
        file.read(0, 1)


@pytest.mark.parametrize("opener", [FileBytes, make_probe])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, opener):
    fifo, door = tmp_path / "pipe", tmp_path / "door"
    os.mkfifo(fifo)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(door))
        for path in (fifo, door):
            with pytest.raises((UnknownFormatError, NotFoundError)):
                opener(path)
    with pytest.raises(UnknownFormatError, match="character device"):
        opener("/dev/zero")


@pytest.mark.parametrize("opener", [FileBytes, make_probe])
def test_what_is_not_there_is_not_found(tmp_path, opener):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("absent", "file/inside", "loop", "x" * 5000, "nul\x00byte"):
        with pytest.raises(NotFoundError):
            opener(tmp_path / name)


def test_a_dangling_link_is_called_one(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(NotFoundError, match="link to a file that does not exist"):
        make_probe(tmp_path / "link")


def test_a_refusal_of_the_system_is_told_as_such():
    with pytest.raises(AccessDeniedError, match="Permission denied"):
        raise_os_error("x", PermissionError(13, "Permission denied"))
    with pytest.raises(CorruptFileError, match="reading failed"):
        raise_os_error("x", OSError(5, "Input/output error"))


def test_a_file_without_permission_is_refused(path, monkeypatch):
    def deny(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(AccessDeniedError, match="cannot be read"):
        FileBytes(path)


def test_a_probe_knows_head_and_names(path, tmp_path):
    probe = make_probe(path)
    assert (probe.is_dir, probe.nbytes, probe.head) == (False, len(DATA), DATA[:4096])
    folder = make_probe(tmp_path)
    assert (folder.is_dir, folder.names) == (True, ("data.bin",))
    with pytest.raises(NoCheckpointError):
        choose(folder, [])
    (tmp_path / "empty").touch()
    with pytest.raises(EmptyFileError):
        make_probe(tmp_path / "empty")
