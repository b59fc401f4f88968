"""Streams that hide, break, repeat or lie about themselves."""

from __future__ import annotations

import pickle as p
import struct
from collections.abc import Iterator

from tests.attacks import build_pickle as b
from tests.attacks.build_legacy import SYSTEM, VERSION, legacy, legacy_pickle, legacy_storage
from tests.attacks.build_zip import members, torch_zip, write_zip
from tests.attacks.case import Case, Name, file_of

EVIL = b.os_system()
SYS: tuple[Name, ...] = (("posix", "system"),)
HONEST = b.state_dict(weight=b.tensor())


def nested() -> Iterator[tuple[str, bytes, int]]:
    """A pickle inside the bytes of a pickle; only a call could run it."""
    inner = b.stream(EVIL)
    loads = b.call(b.name("pickle", "loads"), inner)
    yield "loads", loads, 3
    yield "torch-storage", b.call(b.name("torch.storage", "_load_from_bytes"), inner), 3
    yield "twice", b.call(b.name("pickle", "loads"), b.stream(loads, 3)), 3
    yield "joblib", b.call(b.name("joblib.numpy_pickle", "load"), inner), 3
    yield "dill", b.call(b.name("dill._dill", "loads"), inner), 3


def broken() -> Iterator[tuple[str, bytes]]:
    """The payload has run by the time the stream ends badly."""
    head = p.PROTO + b"\x02" + EVIL
    yield "no-stop", head
    yield "bad-opcode", head + b"\xff" + p.STOP
    yield "underflow", head + p.POP * 5 + p.STOP
    yield "missing-memo", head + b.get(99) + p.STOP
    yield "cut-opcode", head + p.BINUNICODE + b"\xff\xff"
    yield "long-string", head + p.BINUNICODE + struct.pack("<I", 2**31) + b"x"
    yield "negative-length", head + p.LONG4 + struct.pack("<i", -5) + p.STOP
    yield "no-mark", head + p.TUPLE + p.STOP
    yield "bad-int", head + p.INT + b"12x\n" + p.STOP
    yield "bad-float", head + p.FLOAT + b"one\n" + p.STOP
    yield "bad-utf8", head + p.BINUNICODE + struct.pack("<I", 2) + b"\xff\xfe" + p.STOP
    yield "bad-escape", head + p.UNICODE + b"\\u12\n" + p.STOP
    yield "bad-string", head + p.STRING + b"no quotes\n" + p.STOP
    yield "bad-protocol", head + p.PROTO + b"\x63" + p.STOP
    yield "stack-left", p.PROTO + b"\x02" + p.NONE * 3 + EVIL + p.STOP
    yield "mark-left", p.PROTO + b"\x02" + p.MARK + EVIL + p.STOP
    yield "empty-stack", p.PROTO + b"\x02" + EVIL + p.POP + p.STOP
    yield "setitem-on-int", head + b.const(1) + b.const(2) + b.const(3) + p.SETITEM + p.STOP
    yield "persistent-junk", head + b.const(5) + p.BINPERSID + p.STOP
    yield "textual-persistent", head + p.PERSID + b"junk\n" + p.STOP
    yield "zero-tail", head + b"\0" * 64


def framed() -> Iterator[tuple[str, bytes]]:
    """FRAME and length lies around a payload."""
    body = b.stack_name("posix", "system") + b.tup(b.SHELL) + p.REDUCE
    for title, nbytes in (
        ("short", 3), ("long", len(body) + 1 + 4000), ("huge", 2**62), ("max", 2**64 - 1), ("zero", 0),
    ):  # fmt: skip
        yield title, p.PROTO + b"\x04" + p.FRAME + struct.pack("<Q", nbytes) + body + p.STOP
    exact = p.FRAME + struct.pack("<Q", len(body) + 1)
    yield "nested-frames", p.PROTO + b"\x04" + exact + exact + body + p.STOP
    yield "in-protocol-2", p.PROTO + b"\x02" + exact + body + p.STOP
    yield "after-stop", p.PROTO + b"\x04" + exact + body + p.STOP + exact
    yield "cut", p.PROTO + b"\x04" + p.FRAME + b"\x05"
    for title, code, size in (("binbytes8", p.BINBYTES8, 2**62), ("unicode8", p.BINUNICODE8, 2**63), (
        "bytearray8", p.BYTEARRAY8, 2**64 - 1)):  # fmt: skip
        yield (
            title,
            p.PROTO + b"\x05" + EVIL + p.POP + code + struct.pack("<Q", size) + b"x" + p.STOP,
        )
    yield "binbytes4", p.PROTO + b"\x03" + EVIL + p.POP + p.BINBYTES + b"\xff\xff\xff\xff" + p.STOP
    yield "long4", p.PROTO + b"\x02" + EVIL + p.POP + p.LONG4 + b"\xff\xff\xff\x7f" + p.STOP
    yield (
        "binstring-negative",
        p.PROTO + b"\x02" + EVIL + p.POP + p.BINSTRING + b"\xff\xff\xff\xff" + p.STOP,
    )


def memo_and_buffers() -> Iterator[tuple[str, str, bytes]]:
    """Memo slots beyond reason, and buffers that nobody supplied."""
    honest, memo, buffers = b.const({"a": 1}), "memo abuse", "out-of-band buffer"
    last = p.LONG_BINPUT + b"\xff\xff\xff\xff"
    yield "huge-index", memo, b.stream(honest + last)
    yield "text-index", memo, b.stream(honest + p.PUT + b"99999999999999999999\n")
    yield "text-index-negative", memo, b.stream(honest + p.PUT + b"-1\n")
    yield "text-index-junk", memo, b.stream(honest + p.PUT + b"abc\n")
    yield "long-index", memo, b.stream(honest + p.PUT + b"9" * 500_000 + b"\n")
    yield "unset", memo, b.stream(b.get(3))
    yield "unset-text", memo, b.stream(p.GET + b"77\n")
    yield "put-on-empty", memo, b.stream(b.put(0))
    yield "put-mark", memo, b.stream(p.MARK + b.put(0))
    yield "memoize-empty", memo, b.stream(p.MEMOIZE, 4)
    yield "memoize-many", memo, b.stream(p.NONE + p.MEMOIZE * 300_000, 4)
    sparse = b"".join(
        p.LONG_BINPUT + struct.pack("<I", i * 40_000_003 % 2**32) for i in range(50_000)
    )
    yield "sparse", memo, b.stream(honest + sparse)
    yield "no-buffer", buffers, b.stream(p.NEXT_BUFFER, 5)
    yield "readonly-nothing", buffers, b.stream(p.READONLY_BUFFER, 5)
    yield "readonly-int", buffers, b.stream(b.const(1) + p.READONLY_BUFFER, 5)
    yield "readonly-buffer", buffers, b.stream(p.NEXT_BUFFER + p.READONLY_BUFFER, 5)
    picked = b.name("pickle", "PickleBuffer") + b.tup(p.NEXT_BUFFER) + p.REDUCE
    yield "pickle-buffer", buffers, b.stream(picked, 5)


def several() -> Iterator[tuple[str, bytes]]:
    """Several pickles one after the other: every one of them runs when a loop loads them."""
    evil, none = b.stream(EVIL), b.stream(p.NONE)
    yield "second", none + evil
    yield "third", none + none + evil
    yield "after-junk", none + b"\0\0\0\0" + evil
    yield "tenth", none * 9 + evil
    yield "first", evil + none
    yield (
        "protocol-0-second",
        none + p.GLOBAL + b"posix\nsystem\n" + b.tup(b.SHELL) + p.REDUCE + p.STOP,
    )


def stacked() -> Iterator[tuple[str, bytes]]:
    """A payload in each of the five pickles of a stacked torch file, and behind them."""
    evil = b.stream(EVIL)
    drop = p.PROTO + b"\x02" + EVIL + p.POP
    yield (
        "magic",
        legacy(magic=drop + p.LONG1 + b"\x0a" + bytes.fromhex("6cfc9c46f9206aa85019") + p.STOP),
    )
    yield "magic-only", legacy(magic=evil)
    yield "version", legacy(version=drop + b.const(1001) + p.STOP)
    yield "version-only", legacy(version=evil)
    yield "system", legacy(system=drop + SYSTEM[2:])
    yield "system-only", legacy(system=evil)
    yield "object", legacy(b.state_dict(weight=b.tensor(legacy_storage()), x=EVIL))
    yield "object-only", legacy(evil)
    yield "keys", legacy(keys=drop + b.const(["0"]) + p.STOP)
    yield "keys-only", legacy(keys=evil)
    yield "behind", legacy() + evil
    yield "extra-pickle", legacy(version=VERSION + evil)
    source = b.tup("module", b.name("posix", "system"), "f.py", "source") + p.BINPERSID
    yield "module-id", legacy(b.stream(source))


def cases() -> Iterator[Case]:
    """All of them, as bare pickles and inside torch files by turns."""
    for title, body, protocol in nested():
        data = b.stream(body, protocol)
        live = data if title in {"loads", "twice"} else None
        yield Case(
            f"nested-{title}", "nested pickle", file_of(torch_zip(data)), alarm=True, live=live
        )
    inert = b.stream(b.const({"blob": b.stream(EVIL)}), 3)
    yield Case("nested-inert-bytes", "nested pickle", file_of(torch_zip(inert)))
    beside = write_zip([*members(), *members(b.stream(EVIL), {}, root="archive/extra")[:1]])
    yield Case("nested-second-entry", "nested pickle", file_of(beside), names=SYS, alarm=True)
    for title, data in broken():
        live = None if title in {"textual-persistent", "persistent-junk"} else data
        for wrap, wrapped in (("bare", data), ("zip", torch_zip(data)), ("legacy", legacy(data))):
            yield Case(
                f"broken-{title}-{wrap}", "broken after the payload", file_of(wrapped), names=SYS, alarm=True,
                live=live if wrap == "bare" else None,
            )  # fmt: skip
    for title, data in framed():
        names = () if title in {"cut", "max"} else SYS
        yield Case(
            f"frame-{title}",
            "FRAME and length lies",
            file_of(data, ".pkl"),
            names=names,
            alarm=True if names else None,
        )
    for title, group, data in memo_and_buffers():
        yield Case(f"memo-{title}", group, file_of(data, ".pkl"))
        yield Case(f"memo-{title}-zip", group, file_of(torch_zip(data)))
    for title, data in several():
        yield Case(
            f"several-{title}", "several pickles", file_of(data, ".pkl"), names=SYS, alarm=True
        )
    inside = torch_zip(HONEST + b.stream(EVIL))
    yield Case("several-inside-zip", "several pickles", file_of(inside), names=SYS, alarm=True)
    for title, data in stacked():
        yield Case(f"legacy-{title}", "legacy pickles", file_of(data), names=SYS, alarm=True)
    yield from _legacy_lies()


def _legacy_lies() -> Iterator[Case]:
    view = ("v", 0, 4)
    rows: dict[str, bytes] = {
        "keys-not-list": legacy(keys=b.stream(b.const(5))),
        "keys-of-names": legacy(keys=b.stream(b.const([b.name("builtins", "set")]))),
        "keys-repeated": legacy(keys=b.stream(b.const(["0", "0"]))),
        "keys-unknown": legacy(keys=b.stream(b.const(["7"]))),
        "keys-empty": legacy(keys=b.stream(b.const([]))),
        "numel-negative": legacy(storages=((-4, b""),)),
        "numel-huge": legacy(storages=((2**62, b"1234"),)),
        "numel-lies": legacy(storages=((2, b"12345678"),)),
        "cut": legacy()[:-6],
        "big-endian-lie": legacy(system=b.stream(b.const({"little_endian": 5}))),
        "system-none": legacy(system=b.stream(p.NONE)),
        "view-outside": legacy(b.state_dict(w=b.tensor(legacy_storage(view=("v", 2, 4))))),
        "view-negative": legacy(b.state_dict(w=b.tensor(legacy_storage(view=("v", -2, 4))))),
        "view-overflow": legacy(b.state_dict(w=b.tensor(legacy_storage(view=("v", 2**62, 2**62))))),
        "view-junk": legacy(b.state_dict(w=b.tensor(legacy_storage(view=5)))),
        "two-dtypes": legacy(b.state_dict(
            a=b.tensor(legacy_storage(view=view)), b=b.tensor(legacy_storage(kind="DoubleStorage")))),
    }  # fmt: skip
    must = {
        "numel-negative",
        "numel-huge",
        "cut",
        "view-outside",
        "view-negative",
        "view-overflow",
        "keys-empty",
    }
    assert legacy_pickle()
    for title, data in rows.items():
        outcome = "refused" if title in must else "any"
        yield Case(f"legacy-lie-{title}", "short record", file_of(data), outcome=outcome)
