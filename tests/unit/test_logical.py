"""Logical bytes: what torch would call ``tensor.contiguous()``, for every view, bit by bit."""

import random
import struct
import tracemalloc

import pytest

from ckptkit.containers import strided
from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.containers.logical import logical_source
from ckptkit.errors import CorruptFileError, TensorBoundsError
from ckptkit.nodes import IndexRule, Storage, TensorNode
from ckptkit.types import DTYPES


class Counting(MemoryBytes):
    """A source that remembers how many bytes were asked of it."""

    asked = 0

    def read_into(self, offset, out):
        self.asked += out.nbytes
        super().read_into(offset, out)


def view(data, dtype, shape, strides, offset=0, byteorder="little", **more):
    source = Counting(data) if data is not None else None
    storage = Storage("0", len(data or b""), source, byteorder=byteorder)
    return TensorNode(
        dtype=DTYPES[dtype], shape=shape, strides=strides, offset=offset, storage=storage, **more
    )


def read(tensor, chunk=1 << 20):
    source = logical_source(tensor)
    out = bytearray(source.nbytes)
    for start in range(0, len(out), chunk):
        source.read_into(start, memoryview(out)[start : start + chunk])
    return bytes(out)


def gathered(data, item, shape, strides, offset):
    """The same by the book: one element after the other."""
    places = [offset]
    for size, stride in zip(shape, strides, strict=True):
        places = [place + i * stride for place in places for i in range(size)]
    return b"".join(data[place * item : (place + 1) * item] for place in places)


def odd_views(seed):
    """Views with any order of axes, gaps, repeats and overlaps."""
    draw = random.Random(seed)
    for _ in range(300):
        shape = tuple(
            draw.randint(0 if draw.random() < 0.05 else 1, 5) for _ in range(draw.randint(0, 5))
        )
        strides = tuple(draw.choice([0, 1, 2, 3, 7, 20]) for _ in shape)
        yield shape, strides, draw.randint(0, 4)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "complex64", "complex128"])
def test_any_view_is_gathered_as_by_the_book(dtype):
    data = random.Random(dtype).randbytes(16 * 1000)
    for number, (shape, strides, offset) in enumerate(odd_views(dtype)):
        wanted = gathered(data, DTYPES[dtype].nbytes, shape, strides, offset)
        tensor = view(data, dtype, shape, strides, offset)
        assert read(tensor, 1 + number % 37) == wanted, (shape, strides, offset)


@pytest.mark.parametrize(("block", "extent"), [(8, 8), (64, 32), (100, 1 << 20)])
def test_small_blocks_change_nothing(monkeypatch, block, extent):
    monkeypatch.setattr(strided, "BLOCK_NBYTES", block)
    monkeypatch.setattr(strided, "EXTENT_NBYTES", extent)
    monkeypatch.setattr(strided, "_SMALL_EXTENT_NBYTES", 16)
    data = random.Random(1).randbytes(8000)
    for shape, strides, offset in odd_views("blocks"):
        wanted = gathered(data, 4, shape, strides, offset)
        assert read(view(data, "float32", shape, strides, offset), 13) == wanted


def test_random_access_gives_the_same_bytes_in_any_order():
    data = random.Random(2).randbytes(6000)
    tensor = view(data, "float32", (30, 50), (1, 30))
    wanted, source = read(tensor), logical_source(tensor)
    for start in (5999, 0, 3001, 17, 3001):
        out = bytearray(min(100, 6000 - start))
        source.read_into(start, memoryview(out))
        assert bytes(out) == wanted[start : start + 100]


def test_a_contiguous_tensor_passes_straight_through():
    tensor = view(bytes(64), "float32", (4, 4), (4, 1))
    assert logical_source(tensor) is tensor.storage.source
    part = view(bytes(64), "float32", (2, 4), (4, 1), 8)
    assert read(part) == bytes(32)
    assert part.storage.source.asked == 32


def test_nothing_is_read_before_it_is_asked_for():
    tensor = view(bytes(64), "float32", (4, 4), (1, 4))
    logical_source(tensor)
    assert tensor.storage.source.asked == 0


@pytest.mark.parametrize(
    ("dtype", "code", "values"),
    [
        ("int16", "h", [1, -2, 300]),
        ("float32", "f", [1.5, -0.0, 3e8]),
        ("int64", "q", [1, -(2**40)]),
        ("complex64", "2f", [(1.0, -2.0), (0.0, 5.0)]),
        ("complex128", "2d", [(1.0, -2.0), (0.0, 5.0)]),
        ("uint8", "B", [1, 2]),
    ],
)
def test_big_endian_storages_come_out_little(dtype, code, values):
    rows = [value if isinstance(value, tuple) else (value,) for value in values]
    big = b"".join(struct.pack(">" + code, *row) for row in rows)
    little = b"".join(struct.pack("<" + code, *row) for row in rows)
    tensor = view(big, dtype, (len(rows),), (1,), byteorder="big")
    assert read(tensor, 3) == little


def test_conj_and_neg_flip_signs_and_nothing_else():
    data = struct.pack("<4f", 1.0, 2.0, -0.0, float("nan"))
    conj = read(view(data, "complex64", (2,), (1,), conj=True))
    assert struct.unpack("<4I", conj) == tuple(
        bits ^ (0x80000000 if i % 2 else 0) for i, bits in enumerate(struct.unpack("<4I", data))
    )
    both = read(view(data, "complex64", (2,), (1,), conj=True, neg=True))
    assert struct.unpack("<4I", both) == tuple(
        bits ^ (0 if i % 2 else 0x80000000) for i, bits in enumerate(struct.unpack("<4I", data))
    )
    ints = struct.pack("<3q", 5, -7, -(2**63))
    assert read(view(ints, "int64", (3,), (1,), neg=True)) == struct.pack("<3q", -5, 7, -(2**63))


@pytest.mark.parametrize(("dtype", "bit"), [("float32", "conj"), ("bool", "neg"), ("qint8", "neg")])
def test_a_bit_that_means_nothing_is_refused(dtype, bit):
    with pytest.raises(CorruptFileError, match="marked as"):
        logical_source(view(bytes(8), dtype, (1,), (1,), **{bit: True}))


def test_a_meta_tensor_has_no_bytes():
    with pytest.raises(TensorBoundsError, match="no bytes"):
        logical_source(view(None, "float32", (2,), (1,)))
    assert logical_source(view(None, "float32", (2, 0), (1, 1))).nbytes == 0


INDEX_CASES = [
    ("coo", (3, 4), [[0, 2], [3, 0]], True),
    ("coo", (3, 4), [[0, 3], [3, 0]], False),
    ("coo", (3, 4), [[0, -1], [3, 0]], False),
    ("plain", (4,), [0, 3, 3], True),
    ("plain", (4,), [0, 4, 3], False),
    ("compressed", (3, 2), [0, 1, 3], True),
    ("compressed", (3, 2), [1, 2, 3], False),
    ("compressed", (3, 2), [0, 3, 3], False),
    ("compressed", (3, 2), [0, 2, 1, 3], False),
    ("compressed", (3, 2), [0, 1, 2], False),
    ("compressed", (2, 2), [[0, 1, 2], [0, 0, 2]], True),
    ("compressed", (2, 2), [[0, 1, 2], [0, 0, 1]], False),
    ("compressed", (3, 2), [0, -(2**63), 3], False),
    ("unheard-of", (3,), [0, 1], False),
]


@pytest.mark.parametrize(("kind", "limits", "rows", "is_legal"), INDEX_CASES)
def test_indices_obey_their_rule_before_any_is_handed_out(kind, limits, rows, is_legal):
    shape = (len(rows), len(rows[0])) if isinstance(rows[0], list) else (len(rows),)
    flat = [value for row in rows for value in row] if len(shape) == 2 else rows
    data = struct.pack(f"<{len(flat)}q", *flat)
    strides = (shape[1], 1) if len(shape) == 2 else (1,)
    tensor = view(data, "int64", shape, strides, rule=IndexRule(kind, limits))
    if is_legal:
        assert read(tensor, 5) == data
    else:
        with pytest.raises(TensorBoundsError):
            logical_source(tensor).read_into(0, memoryview(bytearray(1)))


def test_indices_are_checked_across_chunks():
    count = (1 << 16) + 10
    good = struct.pack(f"<{count}q", *range(count))
    rule = IndexRule("compressed", (count - 1, 1))
    assert read(view(good, "int64", (count,), (1,), rule=rule)) == good
    bad = bytearray(good)
    bad[8 << 16 : (8 << 16) + 8] = struct.pack("<q", 3)
    with pytest.raises(TensorBoundsError, match="step"):
        read(view(bytes(bad), "int64", (count,), (1,), rule=rule))


@pytest.mark.parametrize("strides", [(1, 2000), (0, 1), (2000, 1)])
def test_a_large_view_takes_little_memory(strides):
    data = bytes(2000 * 2000 * 4)
    tensor = view(data, "float32", (2000, 2000), strides, byteorder="big")
    source, out = logical_source(tensor), memoryview(bytearray(1 << 20))
    tracemalloc.start()
    for start in range(0, source.nbytes, 1 << 20):
        source.read_into(start, out[: min(1 << 20, source.nbytes - start)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 22 << 20, f"{peak >> 20} MiB"
