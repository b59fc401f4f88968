"""Torch zips: what torch.save wrote, and what only looks like it."""

import hashlib
import io
import os
import zipfile

import pytest
import torch

from ckptkit.containers.logical import logical_source
from ckptkit.containers.probe import make_probe
from ckptkit.containers.torch_zip import TorchZipContainer
from ckptkit.errors import (
    ChecksumError,
    ContainerError,
    CorruptFileError,
    ForeignFormatError,
    TruncatedFileError,
)
from ckptkit.types import DEFAULT_LIMITS
from tests.attacks import build_pickle as b
from tests.attacks.build_zip import FOUR_FLOATS, End, Entry, members, torch_zip, write_zip

CONTAINER = TorchZipContainer()


def refuse_files(_path):
    raise AssertionError("a file needs no other file")


@pytest.fixture
def opened(tmp_path):
    """Open bytes as a file; everything is closed at the end."""
    done = []

    def run(data):
        path = tmp_path / f"file{len(done)}.bin"
        path.write_bytes(data)
        probe = make_probe(path)
        assert CONTAINER.matches(probe)
        done.append(CONTAINER.open(probe, DEFAULT_LIMITS, refuse_files))
        return done[-1]

    yield run
    for one in done:
        one.close()


@pytest.fixture
def scanned(tmp_path):
    """Scan bytes as a file: every dangerous name found, and the streams."""

    def run(data):
        path = tmp_path / "scanned.bin"
        path.write_bytes(data)
        scans = list(CONTAINER.scan(make_probe(path), DEFAULT_LIMITS))
        return {f"{use.module}.{use.qualname}" for scan in scans for use in scan.uses}, scans

    return run


def saved(value, **options):
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def content(tensor):
    source = logical_source(tensor)
    out = bytearray(source.nbytes)
    source.read_into(0, memoryview(out))
    return bytes(out)


def codes(opening):
    return [notice.code for notice in opening.notices]


def test_a_state_dict_is_read_with_its_facts(opened):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    found = opened(saved(model.state_dict()))
    assert list(found.root) == list(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert content(found.root[name]) == tensor.numpy().tobytes()
    assert found.root.attrs["_metadata"] is not None
    assert found.container == "torch-zip"
    assert found.properties["byteorder"] == "little"
    assert {check.outcome for check in found.checks()} == {"ok"}
    assert codes(found) == []


def test_ties_and_views_share_one_storage(opened):
    base = torch.arange(12.0)
    found = opened(saved({"all": base, "again": base, "part": base[3:7], "t": base.view(3, 4).t()}))
    nodes = dict(found.root.items())
    assert len({id(node.storage) for node in nodes.values()}) == 1
    assert nodes["all"].same_view() == nodes["again"].same_view()
    assert nodes["all"].same_view() != nodes["part"].same_view()
    assert content(nodes["t"]) == base.view(3, 4).t().contiguous().numpy().tobytes()


def test_opening_reads_no_tensor(opened, monkeypatch):
    big = torch.ones(1 << 20)
    asked = []
    preadv, pread = os.preadv, os.pread

    def count_preadv(fd, buffers, offset):
        asked.append(sum(len(buffer) for buffer in buffers))
        return preadv(fd, buffers, offset)

    def count_pread(fd, nbytes, offset):
        asked.append(nbytes)
        return pread(fd, nbytes, offset)

    data = saved({"big": big, "small": torch.ones(3)})
    monkeypatch.setattr(os, "preadv", count_preadv)
    monkeypatch.setattr(os, "pread", count_pread)
    found = opened(data)
    assert sum(asked) < 100_000
    asked.clear()
    content(found.root["small"])
    assert sum(asked) < 1000


@pytest.mark.parametrize(
    "root", ["archive", "model_600000", "with space", "ünï", ".hidden", "data"]
)
def test_any_root_is_a_root(opened, root):
    assert content(opened(write_zip(members(root=root))).root["weight"]) == FOUR_FLOATS


def test_any_order_and_compression_will_do(opened):
    rows = [row._replace(method=8) for row in members()]
    assert content(opened(write_zip(rows[::-1])).root["weight"]) == FOUR_FLOATS


def test_a_big_endian_archive_is_turned_around(opened):
    import struct

    big = struct.pack(">4f", 1.0, 2.0, 3.0, 4.0)
    found = opened(write_zip(members(storages={"0": big}, byteorder=b"big")))
    assert content(found.root["weight"]) == FOUR_FLOATS


def test_an_archive_without_byteorder_is_little(opened):
    assert content(opened(write_zip(members(byteorder=None))).root["weight"]) == FOUR_FLOATS


@pytest.mark.parametrize("word", [b"Little", b"little\n", b"", b"middle", b"\xff"])
def test_an_unknown_byteorder_is_refused(opened, word):
    with pytest.raises(CorruptFileError, match="byteorder"):
        opened(write_zip(members(byteorder=word)))


@pytest.mark.parametrize("version", [b"", b"x", b"0\n", b"11\n", b"-3", b"9" * 400])
def test_an_impossible_version_is_refused(opened, version):
    with pytest.raises(CorruptFileError, match="version"):
        opened(write_zip([*members()[:-1], Entry("archive/version", version)]))


def test_two_objects_are_refused(opened):
    with pytest.raises(CorruptFileError, match="2 objects"):
        opened(write_zip([*members(), *members(root="other")]))


@pytest.mark.parametrize(
    ("storages", "kind"),
    [
        ({}, CorruptFileError),
        ({"0": FOUR_FLOATS[:-1]}, TruncatedFileError),
        ({"1": FOUR_FLOATS}, CorruptFileError),
    ],
)
def test_a_storage_that_is_not_all_there_is_refused(opened, storages, kind):
    with pytest.raises(kind):
        opened(torch_zip(storages=storages))


def test_a_longer_storage_and_unused_ones_are_mentioned(opened):
    found = opened(torch_zip(storages={"0": FOUR_FLOATS + b"more", "7": b"nobody"}))
    assert sorted(codes(found)) == ["long-storage", "unreferenced-storages"]
    assert content(found.root["weight"]) == FOUR_FLOATS


def test_foreign_entries_are_mentioned(opened):
    assert codes(opened(write_zip([*members(), Entry("else/where", b"x")]))) == ["extra-entries"]


def test_one_key_with_two_dtypes_is_refused(opened):
    two = b.state_dict(a=b.tensor(), b=b.tensor(b.storage(kind="IntStorage")))
    with pytest.raises(CorruptFileError, match="in one place"):
        opened(torch_zip(two))


def test_a_bare_storage_beside_its_tensor_is_honest(opened):
    tensor = torch.arange(4, dtype=torch.uint8)
    found = opened(saved([tensor.untyped_storage(), tensor]))
    assert content(found.root.items[1]) == tensor.numpy().tobytes()


def test_damage_names_the_tensor_and_nothing_else(opened):
    rows = members(
        b.state_dict(a=b.tensor(), b=b.tensor(b.storage(key="1"))),
        {"0": FOUR_FLOATS, "1": FOUR_FLOATS},
    )
    rows[3] = rows[3]._replace(crc=1, local_crc=1)
    found = opened(write_zip(rows))
    assert content(found.root["a"]) == FOUR_FLOATS
    with pytest.raises(ChecksumError, match=r"archive/data/1.*tensor b"):
        content(found.root["b"])
    outcome = {check.name: (check.outcome, check.message) for check in found.checks()}
    assert outcome["archive/data/0"] == ("ok", "")
    assert outcome["archive/data/1"][0] == "damaged"
    assert "tensor b" in outcome["archive/data/1"][1]


def test_one_flipped_bit_of_a_real_file_is_found(opened):
    raw = bytearray(saved({"w": torch.zeros(1000)}))
    raw[raw.find(bytes(2000)) + 1000] ^= 4
    with pytest.raises(ChecksumError, match="tensor w"):
        content(opened(bytes(raw)).root["w"])


def test_a_file_saved_without_checksums_is_read_and_said_so(opened):
    torch.serialization.set_crc32_options(False)
    try:
        data = saved({"w": torch.arange(5)})
    finally:
        torch.serialization.set_crc32_options(True)
    found = opened(data)
    assert codes(found) == ["no-crc"]
    assert content(found.root["w"]) == torch.arange(5).numpy().tobytes()
    assert {check.outcome for check in found.checks()} == {"unverifiable"}


def test_a_damaged_pickle_is_refused(opened):
    rows = members()
    with pytest.raises(ChecksumError, match=r"data\.pkl"):
        opened(write_zip([rows[0]._replace(crc=1, local_crc=1), *rows[1:]]))


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([Entry("a.npy", b"\x93NUMPY"), Entry("b.npy", b"\x93NUMPY")], "npz"),
        ([Entry("word/document.xml", b"<xml/>")], "Office"),
    ],
)
def test_other_archives_are_called_by_their_names(opened, entries, words):
    with pytest.raises(ForeignFormatError, match=words):
        opened(write_zip(entries))


def test_an_archive_without_an_object_is_refused(opened):
    with pytest.raises(CorruptFileError, match=r"no data\.pkl"):
        opened(write_zip([Entry("a/version", b"3\n"), Entry("a/data/0", b"x")]))


def test_an_archive_of_something_else_is_no_damaged_checkpoint(opened):
    with pytest.raises(ForeignFormatError, match=r"no data\.pkl"):
        opened(write_zip([Entry("a/b", b"x")]))


def test_a_failed_open_leaves_no_descriptor(opened):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(ContainerError):
            opened(write_zip(members())[:-30])
    assert len(os.listdir("/proc/self/fd")) == before


EVIL = b.stream(b.call(b.name("posix", "system"), "echo hello"))


@pytest.mark.parametrize(
    "data",
    [
        torch_zip(EVIL),
        write_zip([*members(), Entry("archive/extra/more.pkl", EVIL)]),
        write_zip([*members(), Entry("archive/data/1", EVIL)]),
        write_zip([*members(), Entry("archive/data/1", EVIL, method=8)]),
        write_zip([*members(), Entry("archive/inner", torch_zip(EVIL))]),
        write_zip([Entry("hidden/data.pkl", EVIL, omit_central=True), *members()]),
        write_zip(members(), End(gap=EVIL + bytes(40))),
        write_zip(members(EVIL))[:-40],
        write_zip([*members(), *members(EVIL)]),
        torch_zip(b.state_dict(weight=b.tensor()) + EVIL),
    ],
    ids=[
        "object",
        "other",
        "storage",
        "deflated",
        "nested",
        "hidden",
        "gap",
        "truncated",
        "twice",
        "row",
    ],
)
def test_a_payload_is_found_wherever_it_hides(scanned, data):
    assert "posix.system" in scanned(data)[0]


def test_an_honest_file_is_no_alarm(scanned):
    generator = torch.Generator().manual_seed(5)
    noise = torch.randint(0, 255, (1 << 20,), dtype=torch.uint8, generator=generator)
    names, scans = scanned(saved({"noise": noise, "w": torch.ones(2)}))
    assert names == {
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor_v2",
        "torch.ByteStorage",
        "torch.FloatStorage",
    }
    assert [scan.error for scan in scans] == [None]
    assert [scan.notices for scan in scans] == [()]


def test_a_tar_in_front_of_a_zip_is_a_polyglot(opened):
    import tarfile

    info = tarfile.TarInfo("PK\x03\x04pickle")
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    assert header[257:262] == b"ustar"
    data = bytearray(write_zip([Entry("archive/pad", b"", local_extra=bytes(600)), *members()]))
    data[257:263], data[148:156] = b"ustar\0", b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    assert "polyglot" in codes(opened(bytes(data)))


def test_python_agrees_that_the_file_is_what_it_was(opened):
    data = saved({"w": torch.ones(3)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        wanted = {
            name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()
        }
    assert {check.name for check in opened(data).checks()} == set(wanted)
