"""The zip layout: aligned, readable by everybody, and right beyond four gigabytes."""

import zipfile
import zlib

import pytest
import torch

from ckptkit.containers.pickle_writer import dump_pickle
from ckptkit.containers.zip_writer import ALIGNMENT_NBYTES, EntryToWrite, lay_out
from ckptkit.nodes import MapNode, Storage, TensorNode
from ckptkit.testing.strategies import HeldBytes
from ckptkit.types import DTYPES
from ckptkit.verbs.open import open_container

HUGE = (1 << 32) + 5


def write_sparse(path, contents):
    """Write an archive whose large contents are holes of the file system."""
    entries = [
        EntryToWrite(name, len(data) if isinstance(data, bytes) else data, zlib.crc32(data))
        if isinstance(data, bytes)
        else EntryToWrite(name, data, 0)
        for name, data in contents
    ]
    layout = lay_out(entries)
    with path.open("wb") as file:
        for head, start, (_, data) in zip(layout.heads, layout.starts, contents, strict=True):
            file.seek(start - len(head))
            file.write(head)
            if isinstance(data, bytes):
                file.write(data)
            else:
                file.seek(data, 1)
        file.write(layout.tail)
    return layout


def tensor(values, key):
    data = torch.tensor(values).numpy().tobytes()
    storage = Storage(key, len(data), HeldBytes(data))
    return TensorNode(
        dtype=DTYPES["float32"], shape=(len(values),), strides=(1,), offset=0, storage=storage
    )


def test_every_content_begins_at_a_multiple_of_64_bytes(tmp_path):
    contents = [(f"archive/{'x' * n}", bytes(n)) for n in range(70)]
    layout = write_sparse(tmp_path / "x.zip", contents)
    assert all(start % ALIGNMENT_NBYTES == 0 for start in layout.starts)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.testzip() is None
        assert [(i.filename, i.file_size) for i in archive.infolist()] == [
            (name, len(data)) for name, data in contents
        ]


def test_an_entry_and_a_directory_beyond_four_gigabytes_are_found(tmp_path):
    """A torch file whose first storage is a hole of 4 GiB; the second lies behind it."""
    node = MapNode({"w": tensor([1.0, 2.0, 3.0], "0")})
    pickled = dump_pickle(node)
    contents = [
        ("archive/data.pkl", pickled.data),
        ("archive/hole", HUGE),
        ("archive/byteorder", b"little"),
        ("archive/data/0", torch.tensor([1.0, 2.0, 3.0]).numpy().tobytes()),
        ("archive/version", b"3\n"),
    ]
    layout = write_sparse(tmp_path / "x.pt", contents)
    assert layout.starts[3] > 1 << 32
    loaded = torch.load(tmp_path / "x.pt", weights_only=True)
    assert torch.equal(loaded["w"], torch.tensor([1.0, 2.0, 3.0]))
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        assert archive.getinfo("archive/hole").file_size == HUGE
        assert archive.read("archive/version") == b"3\n"
    opened = open_container(tmp_path / "x.pt")
    assert opened.root["w"].shape == (3,)
    opened.close()


def test_more_entries_than_sixteen_bits_count_are_found(tmp_path):
    contents = [(f"a/{n}", b"") for n in range(70_000)]
    write_sparse(tmp_path / "x.zip", contents)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert len(archive.namelist()) == 70_000


def test_the_same_content_gives_the_same_bytes():
    entries = [EntryToWrite("a", 5, 7), EntryToWrite("b", 9, 8)]
    assert lay_out(entries) == lay_out(entries)


@pytest.mark.parametrize("crc", [0, 0xFFFFFFFF])
def test_the_size_of_the_layout_does_not_depend_on_checksums(crc):
    assert lay_out([EntryToWrite("a", 5, crc)]).nbytes == lay_out([EntryToWrite("a", 5, 1)]).nbytes
