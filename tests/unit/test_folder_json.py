"""JSON of a folder becomes nodes: strict about keys, generous about NaN, bounded in all."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptkit.containers.json_file import parse_json
from ckptkit.errors import CorruptFileError, LimitExceededError
from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.types import Limits

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def plain(node: Node) -> object:
    if isinstance(node, MapNode):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, SeqNode):
        return [plain(value) for value in node.items]
    return node


@given(values)
def test_every_json_value_comes_back(value: object) -> None:
    assert plain(parse_json(json.dumps(value).encode(), "a file")) == value


def test_numbers_that_python_writes_are_read() -> None:
    node = parse_json(b"[NaN, Infinity, -Infinity]", "a file")
    assert math.isnan(node.items[0])
    assert node.items[1:] == [math.inf, -math.inf]


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"{} {}", b"\xff", b"\xef\xbb\xbf{}", b'{"a":1,"a":1}', b"[" + b"1" * 5000 + b"]"],
)
def test_what_is_no_strict_json_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptFileError):
        parse_json(data, "a file")


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"[" + b"[]," * 400_000])
def test_depth_and_number_are_bounded(data: bytes) -> None:
    with pytest.raises(LimitExceededError):
        parse_json(data, "a file")


def test_size_is_bounded_by_a_named_limit() -> None:
    with pytest.raises(LimitExceededError, match="max_json_nbytes"):
        parse_json(b"[1, 2, 3]", "a file", Limits(max_json_nbytes=4))
