"""The zip parser: what torch writes is read, what contradicts itself is refused."""

import io
import random
import zipfile

import pytest

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.zip_entry import EntryBytes, read_entry
from ckptkit.containers.zip_index import read_zip_index
from ckptkit.errors import (
    ChecksumError,
    ContainerError,
    CorruptFileError,
    LimitExceededError,
    TruncatedFileError,
    UnsafePathError,
)
from ckptkit.types import DEFAULT_LIMITS, Limits
from tests.attacks.build_zip import End, Entry, write_zip

A, B = Entry("r/a", b"first"), Entry("r/b", b"second" * 9)


@pytest.fixture
def indexed(tmp_path):
    """Parse an archive and read all of it, as bytes by name."""

    def parse(data, limits=DEFAULT_LIMITS):
        path = tmp_path / "archive.zip"
        path.write_bytes(data)
        with FileBytes(path) as file:
            index = read_zip_index(file, limits)
            entries = {n: read_entry(index, e, limits) for n, e in index.entries.items()}
            return entries, [notice.code for notice in index.notices]

    return parse


def test_entries_are_read_whole(indexed):
    assert indexed(write_zip([A, B])) == ({"r/a": b"first", "r/b": b"second" * 9}, [])


def test_what_python_writes_is_read(indexed):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("r/zeros", bytes(1 << 20))
        archive.mkdir("r/folder")
        with archive.open("r/streamed", "w", force_zip64=True) as entry:
            entry.write(random.Random(0).randbytes(70_000))
        archive.comment = b"made by hand"
    entries, notices = indexed(out.getvalue())
    assert entries["r/zeros"] == bytes(1 << 20)
    assert entries["r/streamed"] == random.Random(0).randbytes(70_000)
    assert notices == []


def test_an_archive_with_64_bit_records_is_read(indexed):
    assert indexed(write_zip([A, B], End(zip64=True)))[0]["r/a"] == b"first"


def test_an_end_record_inside_the_data_is_no_end_record(indexed):
    inner = write_zip([A])
    assert indexed(write_zip([Entry("r/inner.zip", inner)]))[0]["r/inner.zip"] == inner


def test_bytes_behind_the_archive_are_mentioned(indexed):
    assert indexed(write_zip([A]) + b"tail")[1] == ["trailing-bytes"]


def test_hidden_bytes_before_the_first_entry_are_a_danger(indexed):
    hidden = Entry("r/hidden", b"x", omit_central=True)
    assert indexed(write_zip([hidden, A]))[1] == ["hidden-bytes"]
    assert indexed(write_zip([A], End(prefix=b"junk")))[1] == ["hidden-bytes"]


def test_hidden_bytes_between_entries_are_a_danger(indexed):
    assert indexed(write_zip([A], End(gap=bytes(70_000))))[1] == ["hidden-bytes"]


DAMAGED = {
    "prepended": write_zip([A], End(prefix=b"junk", shift=-4)),
    "gap-in-the-directory": write_zip([A], End(size=30)),
    "count-high": write_zip([A, B], End(count=3, count_here=3)),
    "count-low": write_zip([A, B], End(count=1, count_here=1)),
    "disks": write_zip([A], End(disk=1)),
    "two-ends": write_zip([A], End(comment=write_zip([])[-22:])),
    "encrypted": write_zip([A._replace(flags=1)]),
    "strong-encryption": write_zip([A._replace(flags=0x41)]),
    "masked": write_zip([A._replace(flags=0x2000)]),
    "flags-differ": write_zip([A._replace(local_flags=8)]),
    "method-unknown": write_zip([A._replace(method=12)]),
    "method-differs": write_zip([A._replace(local_method=8)]),
    "name-differs": write_zip([A._replace(local_name=b"r/x")]),
    "size-differs": write_zip([A._replace(local_usize=4)]),
    "crc-differs": write_zip([A._replace(local_crc=4)]),
    "stored-sizes": write_zip([A._replace(usize=4)]),
    "twice": write_zip([A, A]),
    "twice-but-for-case": write_zip([A, Entry("R/A", b"x")]),
    "overlap": write_zip([A, B._replace(offset=0)]),
    "over-the-directory": write_zip([A._replace(csize=5000, usize=5000)]),
    "not-utf8": write_zip([Entry(b"r/\xff", b"", flags=0x800)]),
    "deflate-broken": write_zip([A._replace(local_extra=b"\x01\x00", method=8, csize=3)]),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_contradiction_is_refused(indexed, name):
    with pytest.raises((CorruptFileError, TruncatedFileError)):
        indexed(DAMAGED[name])


@pytest.mark.parametrize(
    "name",
    [
        "../a",
        "r/../../a",
        "/etc/passwd",
        "r\\a",
        "r/a\nb",
        "r/\x00a",
        "C:/a",
        "r//a",
        "./a",
        "r/.",
        "",
    ],
)
def test_a_name_that_leaves_or_hides_is_refused(indexed, name):
    with pytest.raises(UnsafePathError):
        indexed(write_zip([A, Entry(name, b"x")]))


def test_a_second_name_is_refused(indexed):
    def extra(name):
        return b"up" + (5 + len(name)).to_bytes(2, "little") + b"\x01" + bytes(4) + name

    assert indexed(write_zip([A._replace(extra=extra(b"r/a"))]))[0]["r/a"] == b"first"
    with pytest.raises(UnsafePathError, match="second name"):
        indexed(write_zip([A._replace(extra=extra(b"r/data.pkl"))]))


def test_names_that_become_one_are_refused(indexed):
    with pytest.raises(CorruptFileError, match="once they are decoded"):
        indexed(write_zip([Entry(b"r/\x82", b"a"), Entry("r/é".encode(), b"b")]))


def test_a_link_is_refused(indexed):
    raw = bytearray(write_zip([A._replace(external=0o120777 << 16)]))
    raw[raw.find(b"PK\x01\x02") + 5] = 3  # made on unix, where modes mean something
    with pytest.raises(UnsafePathError, match="symbolic link"):
        indexed(bytes(raw))


def test_a_wrong_checksum_names_the_entry(indexed):
    with pytest.raises(ChecksumError, match="r/b"):
        indexed(write_zip([A, B._replace(crc=1, local_crc=1)]))


def test_too_many_entries_are_refused(indexed):
    with pytest.raises(LimitExceededError, match="max_entries"):
        indexed(write_zip([A, B]), Limits(max_entries=1))


def test_a_deflate_bomb_is_refused_before_it_goes_off(indexed):
    lie = 1 << 30
    bomb = write_zip([Entry("r/a", bytes(1 << 20), method=8, usize=lie, local_usize=lie)])
    with pytest.raises(LimitExceededError, match="max_inflate_ratio"):
        indexed(bomb)
    with pytest.raises(LimitExceededError, match="max_pickle_nbytes"):
        indexed(write_zip([Entry("r/a", bytes(20 << 20), method=8)]))


def test_every_truncation_is_one_of_our_errors(indexed):
    data = write_zip([A, B], End(zip64=True))
    for stop in range(len(data)):
        with pytest.raises(ContainerError):
            indexed(data[:stop])


def test_no_flipped_byte_gets_through_unnoticed(indexed):
    data = write_zip([A, B])
    good = indexed(data)[0]
    for place in range(len(data)):
        for bit in (0x01, 0x80):
            raw = bytearray(data)
            raw[place] ^= bit
            try:
                entries, _ = indexed(bytes(raw))
            except ContainerError:
                continue
            assert entries == good, f"byte {place} changed what is read"


@pytest.fixture
def source(tmp_path):
    """The bytes of one entry of an archive, and whether they are checked."""

    def make(entry, *, check=True):
        path = tmp_path / "one.zip"
        path.write_bytes(write_zip([entry]))
        file = FileBytes(path)
        (found,) = read_zip_index(file, DEFAULT_LIMITS).entries.values()
        return EntryBytes(file, found, lambda _: " (tensor model/w)", check)

    return make


LONG = random.Random(3).randbytes(3 << 20)


def fill(source, start, stop):
    out = bytearray(stop - start)
    source.read_into(start, memoryview(out))
    return bytes(out)


@pytest.mark.parametrize("method", [0, 8])
def test_an_entry_is_read_in_any_order(source, method):
    opened = source(Entry("r/long", LONG, method=method))
    for start, stop in [(0, 10), (5, 9), (2 << 20, 3 << 20), (0, 3 << 20), (77, 78)]:
        assert fill(opened, start, stop) == LONG[start:stop]


@pytest.mark.parametrize("method", [0, 8])
def test_damage_is_found_in_order_only_at_the_end(source, method):
    opened = source(Entry("r/long", LONG, method=method, crc=7, local_crc=7))
    assert fill(opened, 0, 1 << 20) == LONG[: 1 << 20]
    with pytest.raises(ChecksumError, match="model/w"):
        fill(opened, 1 << 20, 3 << 20)


@pytest.mark.parametrize("method", [0, 8])
def test_damage_is_found_out_of_order_before_any_byte(source, method):
    opened = source(Entry("r/long", LONG, method=method, crc=7, local_crc=7))
    for _ in range(2):
        with pytest.raises(ChecksumError, match="r/long"):
            fill(opened, 100, 200)


def test_unusable_checksums_are_not_compared(source):
    opened = source(Entry("r/long", LONG, crc=7, local_crc=7), check=False)
    assert fill(opened, 0, len(LONG)) == LONG


@pytest.mark.parametrize("change", [-1, 1])
def test_a_deflated_entry_of_another_length_is_refused(source, change):
    lie = len(LONG) + change
    opened = source(Entry("r/long", LONG, method=8, usize=lie, local_usize=lie))
    with pytest.raises(CorruptFileError):
        fill(opened, 0, lie)
