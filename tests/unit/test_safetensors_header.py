"""Every way in which a safetensors header can lie has its own refusal."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ckptkit.containers.safetensors_header import dump_header, parse_header, shown
from ckptkit.errors import (
    CkptkitError,
    CorruptFileError,
    LimitExceededError,
    TruncatedFileError,
    UnrepresentableError,
)
from ckptkit.types import DTYPES, Limits, TensorSpec
from tests.growth import grows_in_step


def entry(dtype: Any = "F32", shape: Any = (2, 2), data_offsets: Any = (0, 16), **more: Any) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets, **more}


def parse(fields: Any, data_nbytes: int = 16) -> Any:
    data = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return parse_header(data, "a file", data_nbytes)


def test_a_whole_header_is_read_in_its_own_order() -> None:
    fields = {"__metadata__": {"k": "v"}, "b": entry(data_offsets=(16, 32)), "a": entry()}
    header = parse(fields, 32)
    assert [one.name for one in header.entries] == ["b", "a"]
    assert header.metadata == {"k": "v"}
    assert header.entries[1] == ("a", "F32", (2, 2), 0, 16)


LIES: dict[str, Any] = {
    "not an object": b"[]",
    "leading space": b' {"a":1}',
    "no JSON": b'{"a":',
    "other padding": json.dumps({"a": entry()}).encode() + b"\n",
    "two objects": b"{}{}",
    "not UTF-8": b'{"\xff":1}',
    "a key twice": b'{"a":%s,"a":%s}' % ((json.dumps(entry()).encode(),) * 2),
    "a field twice": b'{"a":{"dtype":"F32","dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}',
    "a metadata key twice": b'{"__metadata__":{"k":"1","k":"2"}}',
    "metadata is a list": {"__metadata__": []},
    "metadata holds a number": {"__metadata__": {"k": 1}},
    "metadata holds a map": {"__metadata__": {"k": {}}},
    "an entry is a list": {"a": []},
    "a field too many": {"a": entry(more=1)},
    "a field too few": {"a": {"dtype": "F32", "shape": [1]}},
    "unknown dtype": {"a": entry("F31")},
    "dtype in small letters": {"a": entry("f32")},
    "dtype is a list": {"a": entry(["F32"])},
    "shape is a number": {"a": entry(shape=4)},
    "shape holds a bool": {"a": entry(shape=[True, 4])},
    "shape holds a float": {"a": entry(shape=[2.0, 2])},
    "shape holds a negative": {"a": entry(shape=[-2, -2])},
    "shape holds null": {"a": entry(shape=[None])},
    "shape overflows": {"a": entry(shape=[1 << 62, 4], data_offsets=[0, 0])},
    "shape overflows beside a zero": {"a": entry(shape=[0, 1 << 62, 4], data_offsets=[0, 0])},
    "a dimension of 4,000 digits": {"a": entry(shape=[10**4000])},
    "offsets are three": {"a": entry(data_offsets=[0, 8, 16])},
    "offsets hold a float": {"a": entry(data_offsets=[0, 16.0])},
    "offsets hold a bool": {"a": entry("U8", [1], [False, True])},
    "offsets go backwards": {"a": entry(data_offsets=[16, 0])},
    "offsets are negative": {"a": entry(data_offsets=[-16, 0])},
    "fewer bytes than the shape": {"a": entry(data_offsets=[0, 15])},
    "more bytes than the shape": {"a": entry(data_offsets=[0, 17])},
    "half a byte": {"a": entry("F4", [3], [0, 1])},
    "overlap": {"a": entry(), "b": entry(data_offsets=[8, 24])},
    "one inside another": {"a": entry(), "b": entry("U8", [2], [4, 6])},
    "the same bytes twice": {"a": entry(), "b": entry()},
    "hole at the start": {"a": entry("U8", [8], [8, 16])},
    "hole in the middle": {"a": entry("U8", [4], [0, 4]), "b": entry("U8", [8], [8, 16])},
    "an empty tensor beyond the end": {"a": entry(), "b": entry("U8", [0], [99, 99])},
    "trailing bytes": {"a": entry("U8", [4], [0, 4])},
    "NaN": b'{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,16]}}',
    "Infinity": b'{"a":{"dtype":"U8","shape":[1e999],"data_offsets":[0,16]}}',
}


@pytest.mark.parametrize("fields", LIES.values(), ids=LIES)
def test_a_lying_header_is_refused(fields: Any) -> None:
    with pytest.raises(CorruptFileError) as caught:
        parse(fields)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 5000


def test_a_header_that_promises_more_bytes_is_truncated() -> None:
    with pytest.raises(TruncatedFileError):
        parse({"a": entry()}, 15)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":' + b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"a":{"dtype":' + b"[" * 900 + b"]" * 900 + b',"shape":[],"data_offsets":[0,4]}}',
        b'{"a":[' + b"[]," * 400_000 + b"[]]}",
        b'{"a":' + b"9" * 10_000 + b"}",
    ],
    ids=["lists", "maps", "closed lists", "dtype", "many lists", "digits"],
)
def test_depth_and_number_are_bounded(data: bytes) -> None:
    with pytest.raises((LimitExceededError, CorruptFileError)):
        parse(data)


def test_rank_is_bounded_by_a_named_limit() -> None:
    fields = json.dumps({"a": entry("U8", [1] * 65, [0, 1])}).encode()
    with pytest.raises(LimitExceededError, match="max_rank"):
        parse_header(fields, "a file", 1)
    assert len(parse_header(fields, "a file", 1, Limits(max_rank=65)).entries) == 1


def test_no_name_can_drive_a_terminal() -> None:
    name = "\x1b]0;owned\x07\x1b[2J" + "w" * 500
    with pytest.raises(CkptkitError) as caught:
        parse({name: entry(shape=[3])})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    assert shown("\u202eabc").isascii()


@pytest.mark.parametrize("names", [["a", "a"], ["__metadata__"], ["half \ud800 pair"]])
def test_names_that_cannot_be_stored_are_refused(names: list[str]) -> None:
    with pytest.raises(UnrepresentableError):
        dump_header([TensorSpec(name, DTYPES["uint8"], (1,)) for name in names])


def test_the_same_specs_give_the_same_bytes() -> None:
    specs = [TensorSpec(f"ä{index}", DTYPES["complex128"], (index,)) for index in range(3)]
    first, spans = dump_header(specs, {"b": "1", "a": "2"})
    assert first == dump_header(specs, {"b": "1", "a": "2"})[0]
    assert [span.nbytes for span in spans] == [0, 16, 32]
    assert json.loads(first[8:])["ä2"] == {
        "dtype": "F64", "shape": [2, 2], "data_offsets": [16, 48],
    }  # fmt: skip


def test_parsing_grows_with_the_number_of_tensors() -> None:
    def parsing(count: int) -> Callable[[], object]:
        specs = [
            TensorSpec(f"transformer.layers.{index}.weight", DTYPES["float32"], (4, 4))
            for index in range(count)
        ]
        header, spans = dump_header(specs)
        return lambda: parse_header(header[8:], "a file", spans[-1].stop - len(header))

    assert grows_in_step(parsing, 200)
