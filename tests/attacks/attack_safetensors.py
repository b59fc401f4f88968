"""safetensors files with headers that lie."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from tests.attacks.build_safetensors import entry, frame, safetensors
from tests.attacks.case import Case, file_of

Row = tuple[str, str, bytes, str]
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x1b]8;;http://x\x1b\\\r\b\u202e\x9b31m"


def one(**fields: Any) -> bytes:
    """A file of one tensor with some fields of its entry replaced."""
    return safetensors({"weight": entry() | fields})


def headers() -> Iterator[Row]:
    """Length and text of the header."""
    group, good = "safetensors header", json.dumps({"weight": entry()}).encode()
    data = bytes(16)
    yield "length-zero", group, struct.pack("<Q", 0) + data, "refused"
    yield "length-huge", group, frame(good, data, length=2**63), "refused"
    yield "length-max", group, frame(good, data, length=2**64 - 1), "refused"
    yield "length-over-limit", group, frame(good, data, length=100_000_001), "refused"
    yield "length-beyond-file", group, frame(good, data, length=len(good) + 4000), "refused"
    yield "length-short", group, frame(good, data, length=len(good) - 4), "refused"
    yield "cut-length", group, b"\x08\0\0\0", "refused"
    yield "cut-header", group, frame(good)[:30], "refused"
    yield "not-json", group, frame(b"{not json}", data), "refused"
    yield "array", group, frame(b"[]", data), "refused"
    yield "number", group, frame(b"{1:2}", data), "refused"
    yield "not-utf8", group, frame(b'{"\xff\xfe":{}}', data), "refused"
    yield "bom", group, frame(b"\xef\xbb\xbf" + good, data), "any"
    yield "leading-space", group, frame(b"   " + good, data), "any"
    yield "tail-after-json", group, frame(good + b"{}", data), "refused"
    yield "tail-nul", group, frame(good + b"\0\0\0", data), "any"
    yield "nan", group, frame(good.replace(b"16", b"NaN"), data), "refused"
    yield "infinity", group, frame(good.replace(b"16", b"Infinity"), data), "refused"
    yield "comment", group, frame(b"/*x*/" + good, data), "refused"
    yield (
        "metadata-number",
        group,
        safetensors({"__metadata__": {"epoch": 5}, "weight": entry()}),
        "any",
    )
    yield (
        "metadata-nested",
        group,
        safetensors({"__metadata__": {"a": {"b": []}}, "weight": entry()}),
        "any",
    )
    yield "metadata-list", group, safetensors({"__metadata__": [1], "weight": entry()}), "any"
    yield "metadata-tensor", group, safetensors({"__metadata__": entry(), "weight": entry()}), "any"
    yield (
        "metadata-pickle",
        group,
        safetensors({"__metadata__": {"x": "cposix\nsystem\n"}, "weight": entry()}),
        "any",
    )
    yield "entry-not-object", group, safetensors({"weight": 5}), "refused"
    yield "entry-empty", group, safetensors({"weight": {}}), "refused"
    yield "entry-extra-field", group, one(extra=1), "any"
    yield "entry-null", group, safetensors({"weight": None}), "refused"
    yield "name-empty", group, safetensors({"": entry()}), "any"
    yield "name-surrogate", group, frame(json.dumps({"\ud800": entry()}).encode(), data), "any"
    yield "name-traversal", group, safetensors({"../../etc/passwd": entry()}), "any"
    yield "name-long", group, safetensors({"n" * 1_000_000: entry()}), "any"
    deep = '{"weight":' * 100_000 + "{}" + "}" * 100_000
    yield "depth-objects", "safetensors depth", safetensors(deep), "refused"
    yield (
        "depth-arrays",
        "safetensors depth",
        safetensors('{"weight":' + "[" * 200_000 + "]" * 200_000 + "}"),
        "refused",
    )
    nested = '{"__metadata__":{"a":' + "[" * 50_000 + "]" * 50_000 + "}}"
    yield "depth-metadata", "safetensors depth", safetensors(nested, b""), "any"
    yield "depth-unclosed", "safetensors depth", safetensors('{"a":' * 100_000), "refused"


def places() -> Iterator[Row]:
    """Shapes, offsets, holes and overlaps."""
    group, holes = "safetensors offsets", "safetensors holes and overlaps"
    for title, fields in {
        "offset-negative": {"data_offsets": [-16, 0]}, "offset-reversed": {"data_offsets": [16, 0]},
        "offset-outside": {"data_offsets": [0, 64]}, "offset-overflow": {"data_offsets": [2**64, 2**64 + 16]},
        "offset-one": {"data_offsets": [0]}, "offset-three": {"data_offsets": [0, 16, 32]},
        "offset-float": {"data_offsets": [0.0, 16.0]}, "offset-text": {"data_offsets": ["0", "16"]},
        "offset-null": {"data_offsets": None}, "offset-bool": {"data_offsets": [False, 16]},
        "size-differs": {"shape": [5]}, "size-smaller": {"shape": [3]}, "shape-negative": {"shape": [-4]},
        "shape-two-negatives": {"shape": [-2, -2]}, "shape-overflow": {"shape": [2**62, 4]},
        "shape-wraps": {"shape": [2**62 + 1, 4]}, "shape-zero-times-huge": {"shape": [0, 2**63], "data_offsets": [0, 0]},
        "shape-text": {"shape": "4"}, "shape-null": {"shape": None}, "shape-float": {"shape": [4.0]},
        "shape-nested": {"shape": [[4]]}, "shape-rank": {"shape": [1] * 5000 + [4]}, "shape-bool": {"shape": [True, 4]},
        "shape-big-integer": {"shape": [10**4000]},
    }.items():  # fmt: skip
        soft = {"shape-rank", "offset-bool", "shape-bool", "shape-zero-times-huge"}
        yield title, group, one(**fields), "any" if title in soft else "refused"
    text = '{"weight":{"dtype":"F32","shape":[%s],"data_offsets":[0,16]}}'
    yield "shape-million-digits", group, safetensors(text % ("9" * 1_000_000)), "refused"
    yield "shape-exponent", group, safetensors(text % "4e0"), "refused"
    yield "shape-big-exponent", group, safetensors(text % "1e999999"), "refused"
    pair = {"a": entry(), "b": entry(offsets=(16, 32))}
    both = bytes(32)
    yield "hole-front", holes, safetensors({"a": entry(offsets=(16, 32))}, both), "refused"
    yield (
        "hole-middle",
        holes,
        safetensors({"a": entry(), "b": entry(offsets=(32, 48))}, bytes(48)),
        "refused",
    )
    yield "hole-end", holes, safetensors({"a": entry()}, both), "refused"
    yield (
        "hole-payload",
        holes,
        safetensors({"a": entry()}, bytes(16) + b"cposix\nsystem\n."),
        "refused",
    )
    yield (
        "overlap-half",
        holes,
        safetensors({"a": entry(), "b": entry(offsets=(8, 24))}, bytes(24)),
        "refused",
    )
    yield "overlap-whole", holes, safetensors({"a": entry(), "b": entry()}, bytes(16)), "refused"
    yield (
        "overlap-inside",
        holes,
        safetensors({"a": entry(), "b": entry(shape=[1], offsets=(4, 8))}, bytes(16)),
        "refused",
    )
    many = {f"t{i}": entry(shape=[25_000], offsets=(0, 100_000)) for i in range(2000)}
    yield "overlap-many", holes, safetensors(many, bytes(100_000)), "refused"
    yield "data-cut", holes, safetensors(pair, bytes(30)), "refused"
    yield "data-none", holes, safetensors(pair, b""), "refused"


def keys_and_types() -> Iterator[Row]:
    """Duplicate keys, dtypes, terminal escapes."""
    twice, types, escapes = "safetensors duplicate keys", "safetensors dtype", "terminal escapes"
    row = json.dumps(entry())
    yield "duplicate-same", twice, safetensors(f'{{"a":{row},"a":{row}}}'), "refused"
    other = json.dumps(entry("I32"))
    yield "duplicate-different", twice, safetensors(f'{{"a":{row},"a":{other}}}'), "refused"
    yield "duplicate-escaped", twice, safetensors(f'{{"a":{row},"\\u0061":{row}}}'), "refused"
    field = '{"a":{"dtype":"F32","dtype":"I32","shape":[4],"data_offsets":[0,16]}}'
    yield "duplicate-field", twice, safetensors(field), "refused"
    field = '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,8],"data_offsets":[0,16]}}'
    yield "duplicate-offsets", twice, safetensors(field), "refused"
    yield (
        "duplicate-metadata",
        twice,
        safetensors(f'{{"__metadata__":{{"a":"1"}},"__metadata__":{{}},"a":{row}}}'),
        "refused",
    )
    yield (
        "duplicate-metadata-key",
        twice,
        safetensors(f'{{"__metadata__":{{"a":"1","a":"2"}},"a":{row}}}'),
        "any",
    )
    for index, dtype in enumerate(
        ("F128", "f32", "F32 ", "O", "", "\x00", 5, None, ["F32"], "torch.float32", "STRING")
    ):
        yield f"dtype-{index}", types, one(dtype=dtype), "refused"
    for dtype in ("F4", "F6_E2M3", "F6_E3M2"):
        yield (
            f"dtype-{dtype}-odd",
            types,
            one(dtype=dtype, shape=[3], data_offsets=[0, 16]),
            "refused",
        )
    yield "dtype-bool-values", types, one(dtype="BOOL", shape=[16]), "any"
    yield "names", escapes, safetensors({ESCAPES: entry()}), "any"
    yield (
        "metadata",
        escapes,
        safetensors({"__metadata__": {ESCAPES: ESCAPES}, "weight": entry()}),
        "any",
    )
    yield "dtype", escapes, one(dtype=ESCAPES), "refused"
    yield "newlines", escapes, safetensors({"a\nverdict: safe\n": entry()}), "any"


def cases() -> Iterator[Case]:
    """All of them."""
    for rows in (headers(), places(), keys_and_types()):
        for title, group, data, outcome in rows:
            yield Case(
                f"safetensors-{title}", group, file_of(data, ".safetensors"), outcome=outcome
            )
