"""Small files that want to become large, deep or slow."""

from __future__ import annotations

import pickle as p
import struct
from collections.abc import Callable, Iterator

from tests.attacks import build_pickle as b
from tests.attacks.build_zip import torch_zip
from tests.attacks.case import Case, file_of

LEVELS = 64
MERSENNE = 2**61 - 1  # Python hashes integers modulo this prime


def deep(opener: bytes, closer: bytes, levels: int) -> bytes:
    """Nest a value."""
    return b.stream(opener * levels + p.NONE + closer * levels, 4)


def laughs(double: bytes, start: bytes = p.EMPTY_LIST, levels: int = LEVELS) -> bytes:
    """A value that holds itself twice, again and again: 2**levels leaves when expanded."""
    body = start + b.put(0) + p.POP
    for level in range(levels):
        body += b.get(level) + b.get(level) + double + b.put(level + 1) + p.POP
    return body + b.get(levels)


def _laugh_rows() -> Iterator[tuple[str, bytes]]:
    as_list = p.TUPLE2
    yield "tuples", b.stream(laughs(as_list, p.EMPTY_TUPLE))
    yield "tuple-of-name", b.stream(laughs(as_list, b.name("torch", "float32")))
    body = p.EMPTY_LIST + b.put(0) + p.POP
    for level in range(LEVELS):
        body += p.EMPTY_LIST + p.MARK + b.get(level) * 10 + p.APPENDS + b.put(level + 1) + p.POP
    yield "lists", b.stream(body + b.get(LEVELS))
    body = p.EMPTY_DICT + b.put(0) + p.POP
    for level in range(LEVELS):
        pairs = b"".join(b.const(i) + b.get(level) for i in range(10))
        body += p.EMPTY_DICT + p.MARK + pairs + p.SETITEMS + b.put(level + 1) + p.POP
    yield "dicts", b.stream(body + b.get(LEVELS))
    key = laughs(as_list, p.EMPTY_TUPLE)
    yield "as-key", b.stream(p.EMPTY_DICT + key + p.NONE + p.SETITEM)
    yield "as-set-member", b.stream(p.EMPTY_SET + p.MARK + key + p.ADDITEMS, 4)
    frozen = p.EMPTY_TUPLE + b.put(0) + p.POP
    for level in range(LEVELS):
        pair = b.get(level) + b.get(level) + p.TUPLE2 + b.const(level) + p.FROZENSET
        frozen += p.MARK + pair + b.put(level + 1) + p.POP
    yield (
        "frozensets-as-key",
        b.stream(p.EMPTY_DICT + frozen + b.get(LEVELS) + p.NONE + p.SETITEM, 4),
    )
    ordered = b.name("collections", "OrderedDict")
    yield "as-ordered-pairs", b.stream(b.call(ordered, b.Raw(laughs(as_list, p.EMPTY_TUPLE))))
    yield "as-arguments", b.stream(b.name("a", "B") + laughs(as_list, p.EMPTY_TUPLE) + p.REDUCE)
    yield "as-size", b.stream(b.const({"w": b.tensor(size=b.Raw(laughs(as_list, p.EMPTY_TUPLE)))}))
    yield "as-storage-key", b.stream(b.const({"w": b.tensor(b.storage(key=b.Raw(key)))}))
    yield "as-persistent-id", b.stream(key + p.BINPERSID)
    many = b"".join(b.get(LEVELS) + b.const(i) + p.TUPLE2 + p.NONE for i in range(2000))
    yield "as-many-keys", b.stream(key + p.POP + p.EMPTY_DICT + p.MARK + many + p.SETITEMS)
    record = b.call(b.name("a", "B"), b.get(0))
    chain = p.EMPTY_TUPLE + b.put(0) + p.POP
    for level in range(LEVELS):
        chain += b.name("a", "B") + b.get(level) + b.get(level) + p.TUPLE2 + p.REDUCE
        chain += b.put(level + 1) + p.POP
    yield "records-as-key", b.stream(p.EMPTY_DICT + chain + b.get(LEVELS) + p.NONE + p.SETITEM)
    assert record
    long = b.const("x" * 65_536) + b.put(0) + p.POP
    yield "one-long-string", b.stream(long + p.EMPTY_LIST + p.MARK + b.get(0) * 100_000 + p.APPENDS)
    yield (
        "concatenated-strings",
        b.stream(
            long
            + b.call(b.name("builtins", "str.join"), "", b.Raw(p.MARK + b.get(0) * 50_000 + p.LIST))
        ),
    )


def _deep_rows() -> Iterator[tuple[str, bytes]]:
    for levels in (2_000, 200_000, 2_000_000):
        yield f"tuples-{levels}", deep(b"", p.TUPLE1, levels)
        yield f"marks-{levels}", b.stream(p.MARK * levels)
        yield f"lists-{levels}", deep(p.EMPTY_LIST, p.APPEND, levels)
    yield "dicts", deep(p.EMPTY_DICT + p.NONE, p.SETITEM, 200_000)
    yield "records", b.stream(b.name("a", "B") + b.put(0) + p.POP + b.get(0) * 200_000 + p.EMPTY_TUPLE + (
        p.REDUCE + p.TUPLE1) * 199_999)  # fmt: skip
    chain = b.name("a", "B") * 50_000 + p.NONE + (p.TUPLE1 + p.REDUCE) * 50_000
    yield "calls", b.stream(chain)
    yield "as-key", b.stream(p.EMPTY_DICT + p.NONE + p.TUPLE1 * 200_000 + p.NONE + p.SETITEM)
    yield "frozensets", b.stream(p.MARK * 100_000 + p.NONE + p.FROZENSET * 100_000, 4)
    yield "builds", b.stream(b.call(b.name("a", "B")) + (p.EMPTY_DICT + p.BUILD) * 200_000)
    yield "unclosed-lists", b.stream(p.EMPTY_LIST * 2_000_000)


def _cycle_rows() -> Iterator[tuple[str, bytes]]:
    yield "list-in-itself", b.stream(p.EMPTY_LIST + b.put(0) + b.get(0) + p.APPEND)
    yield "dict-in-itself", b.stream(p.EMPTY_DICT + b.put(0) + b.const("a") + b.get(0) + p.SETITEM)
    yield "dict-as-own-key", b.stream(p.EMPTY_DICT + b.put(0) + b.get(0) + p.NONE + p.SETITEM)
    yield "set-in-itself", b.stream(p.EMPTY_SET + b.put(0) + p.MARK + b.get(0) + p.ADDITEMS, 4)
    through = p.EMPTY_LIST + b.put(0) + b.get(0) + p.TUPLE1 + b.put(1) + p.APPEND
    yield "tuple-through-list", b.stream(through + b.get(1))
    yield "tuple-as-key", b.stream(p.EMPTY_DICT + through + b.get(1) + p.NONE + p.SETITEM + p.POP)
    record = b.call(b.name("a", "B")) + b.put(0)
    yield "record-as-own-state", b.stream(record + b.get(0) + p.BUILD)
    yield "record-as-own-item", b.stream(record + b.get(0) + p.APPEND)
    yield "record-as-own-key", b.stream(record + b.get(0) + b.get(0) + p.SETITEM)
    keyed = record + p.EMPTY_DICT + b.get(0) + p.NONE + p.SETITEM + p.BUILD
    yield "record-keyed-by-itself", b.stream(keyed)
    ordered = b.call(b.name("collections", "OrderedDict")) + b.put(0)
    yield (
        "ordered-own-metadata",
        b.stream(ordered + b.const("_metadata") + b.get(0) + p.TUPLE2 + p.BUILD),
    )
    yield (
        "two-lists",
        b.stream(
            p.EMPTY_LIST + b.put(0) + p.EMPTY_LIST + b.put(1) + b.get(0) + p.APPEND + p.APPEND
        ),
    )
    hooks = b.call(b.name("collections", "OrderedDict")) + b.put(9)
    inside = b.call(
        b.name("torch._utils", "_rebuild_tensor_v2"),
        b.storage(),
        0,
        (4,),
        (1,),
        False,
        b.Raw(hooks),
    )
    yield (
        "tensor-in-own-hooks",
        b.stream(inside + b.put(8) + p.POP + b.get(9) + b.const(0) + b.get(8) + p.SETITEM),
    )


def _collisions(count: int, make: Callable[[int], bytes]) -> bytes:
    pairs = b"".join(make(i) + p.NONE for i in range(1, count + 1))
    return b.stream(p.EMPTY_DICT + p.MARK + pairs + p.SETITEMS)


def _collision_rows() -> Iterator[tuple[str, bytes]]:
    yield "ints", _collisions(60_000, lambda i: b.integer(i * MERSENNE))
    yield "tuples", _collisions(30_000, lambda i: b.tup(b.Raw(b.integer(i * MERSENNE))))
    yield "floats", _collisions(900, lambda i: b.const(float(2.0 ** (i % 1000))))
    yield "minus-one-two", _collisions(2, lambda i: b.const(-i))
    yield "nans", _collisions(60_000, lambda _: b.const(float("nan")))
    members = b"".join(b.integer(i * MERSENNE) for i in range(60_000))
    yield "set", b.stream(p.EMPTY_SET + p.MARK + members + p.ADDITEMS, 4)
    keys = b"".join(b.integer(i * MERSENNE) + p.NONE + p.TUPLE2 for i in range(30_000))
    yield (
        "ordered",
        b.stream(b.call(b.name("collections", "OrderedDict"), b.Raw(p.MARK + keys + p.LIST))),
    )
    yield (
        "frozensets",
        _collisions(20_000, lambda i: p.MARK + b.integer(i * MERSENNE) + p.NONE + p.FROZENSET),
    )


def _huge_rows() -> Iterator[tuple[str, bytes]]:
    raw = b"\x7f" * (1 << 20)
    yield "long4", b.stream(p.LONG4 + struct.pack("<i", len(raw)) + raw)
    yield (
        "long4-as-key",
        b.stream(p.EMPTY_DICT + p.LONG4 + struct.pack("<i", len(raw)) + raw + p.NONE + p.SETITEM),
    )
    yield "long4-many", b.stream(p.LONG4 + struct.pack("<i", len(raw)) + raw + b.put(0) + (
        p.EMPTY_DICT + p.MARK + (b.get(0) + b.const(1) + p.TUPLE2 + p.NONE) * 500 + p.SETITEMS))  # fmt: skip
    yield "text-long", b.stream(p.LONG + b"9" * 1_000_000 + b"L\n")
    yield "text-int", b.stream(p.INT + b"9" * 1_000_000 + b"\n")
    yield "text-float", b.stream(p.FLOAT + b"9" * 1_000_000 + b"\n")
    yield "text-hex", b.stream(p.LONG + b"0x" + b"f" * 1_000_000 + b"L\n")
    yield "text-underscores", b.stream(p.INT + b"1_000\n")
    yield "text-unicode-digits", b.stream(p.INT + "١٢\n".encode())
    yield "as-size", b.stream(b.const({"w": b.tensor(size=(1 << 80_000,))}))
    yield "as-offset", b.stream(b.const({"w": b.tensor(offset=1 << 80_000)}))
    yield "as-numel", b.stream(b.const({"w": b.tensor(b.storage(numel=1 << 80_000))}))
    yield "as-storage-key", b.stream(b.const({"w": b.tensor(b.storage(key=1 << 80_000))}))
    yield "as-epoch", b.stream(b.const({"epoch": 1 << 80_000}))


def _key_rows() -> Iterator[tuple[str, bytes]]:
    def keyed(key: bytes) -> bytes:
        return b.stream(p.EMPTY_DICT + key + p.NONE + p.SETITEM, 4)

    yield "nan", keyed(b.const(float("nan")))
    yield "list", keyed(p.EMPTY_LIST)
    yield "dict", keyed(p.EMPTY_DICT)
    yield "set", keyed(p.EMPTY_SET)
    yield "list-in-tuple", keyed(p.EMPTY_LIST + p.TUPLE1)
    yield "bytearray", keyed(p.BYTEARRAY8 + struct.pack("<Q", 1) + b"x")
    yield "tensor", torch_zip(keyed(b.tensor()))
    yield "record", keyed(b.call(b.name("a", "B")))
    yield "record-with-list", keyed(b.call(b.name("a", "B"), [1]))
    yield "name", keyed(b.name("a", "B"))
    yield "mark-missing", b.stream(p.EMPTY_DICT + p.SETITEMS)
    yield "odd-number", b.stream(p.EMPTY_DICT + p.MARK + p.NONE * 3 + p.SETITEMS)
    yield (
        "duplicates",
        b.stream(p.EMPTY_DICT + p.MARK + (b.const("weight") + p.NONE) * 3 + p.SETITEMS),
    )
    mixed = b.const(1) + p.NONE + b.const(1.0) + p.NONE + p.NEWTRUE + p.NONE
    yield "one-true-float", b.stream(p.EMPTY_DICT + p.MARK + mixed + p.SETITEMS)
    yield "surrogate", keyed(b.text("\ud800"))
    yield "terminal", keyed(b.text("\x1b[2J\x1b]0;owned\x07"))
    yield "nul", keyed(b.text("a\0b"))
    yield "empty", keyed(b.text(""))
    yield "dunder", keyed(b.text("__class__"))
    yield "long", keyed(b.text("k" * 2_000_000))


def cases() -> Iterator[Case]:
    """Each as a bare pickle; every third inside a torch zip."""
    groups = (
        ("deep nesting", _deep_rows), ("billion laughs", _laugh_rows), ("cycle", _cycle_rows),
        ("hash collision", _collision_rows), ("huge int", _huge_rows), ("odd key", _key_rows),
    )  # fmt: skip
    for group, rows in groups:
        for index, (title, data) in enumerate(rows()):
            wrapped = torch_zip(data) if index % 3 == 2 and not data.startswith(b"PK") else data
            yield Case(f"{group}-{title}".replace(" ", "-"), group, file_of(wrapped, ".pkl"))
