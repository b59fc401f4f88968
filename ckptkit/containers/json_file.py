"""JSON as nodes: bounded in size, depth and count, and every key once."""

from __future__ import annotations

from typing import Any

from ckptkit.errors import CorruptFileError, LimitExceededError
from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.types import DEFAULT_LIMITS, Limits


def parse_json(data: bytes, where: str, limits: Limits = DEFAULT_LIMITS) -> Node:
    """Turn a JSON text into nodes; NaN and Infinity are numbers, as Python writes them.

    Raises: CorruptFileError for anything that is no JSON or names a key twice;
    LimitExceededError for too many bytes, levels or values.
    """
    import json

    if len(data) > limits.max_json_nbytes:
        seen, expected = f"{len(data)} bytes of JSON", f"at most {limits.max_json_nbytes}"
        raise LimitExceededError(where, seen, expected, "raise max_json_nbytes if you trust it")
    budget = limits.max_nodes(len(data))
    if data.count(b"{") + data.count(b"[") > budget:
        seen = f"the JSON has more than {budget} objects and lists"
        raise LimitExceededError(where, seen, advice="raise base_nodes if you trust the file")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_to_map)
    except RecursionError as exc:
        raise LimitExceededError(where, "the JSON is nested too deeply") from exc
    except ValueError as exc:  # not UTF-8, not JSON, a key twice, a number of 5,000 digits
        raise CorruptFileError(where, f"this is no strict JSON: {ascii(str(exc))[1:101]}") from exc
    return _wrap_lists(value)


def _to_map(pairs: list[tuple[str, Any]]) -> MapNode:
    node = MapNode(pairs)
    if len(node) != len(pairs):
        raise ValueError("an object names one key twice")
    return node


def _wrap_lists(value: Any) -> Node:
    """Put every list into a SeqNode, in place and without recursion."""
    top = [value]
    stack: list[Any] = [top]
    while stack:
        parent = stack.pop()
        children = parent.items() if isinstance(parent, MapNode) else list(enumerate(parent))
        for key, child in children:
            if type(child) is list:
                parent[key] = SeqNode(child)
                stack.append(child)
            elif type(child) is MapNode:
                stack.append(child)
    return top[0]
