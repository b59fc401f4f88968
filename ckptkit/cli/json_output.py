"""The JSON that ``--json`` prints: one object, ASCII only, no NaN."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from ckptkit.nodes import Node
from ckptkit.protocols import StreamScan
from ckptkit.tree.paths import path_text
from ckptkit.types import Notice
from ckptkit.verbs.outline import describe

_MAX_EXACT_INT = 1 << 63


def emit(fields: Mapping[str, Any]) -> None:
    """Write one object and a newline to stdout."""
    import json

    sys.stdout.write(json.dumps(fields, ensure_ascii=True, allow_nan=False, indent=2) + "\n")


def plain(value: Node) -> Any:
    """A leaf as JSON has it: numbers and strings as they are, anything else as its description.

    Not-a-number and the infinities become strings, as do integers beyond 64 bits.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -_MAX_EXACT_INT <= value < 2 * _MAX_EXACT_INT else describe(value)[1]
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    return describe(value)[1]


def notice_json(notice: Notice) -> dict[str, str]:
    """One notice."""
    return dict(notice._asdict())


def scan_json(scan: StreamScan) -> dict[str, Any]:
    """One pickle stream: the names it uses and why its reading ended early."""
    return {
        "stream": scan.stream,
        "uses": [use._asdict() for use in scan.uses],
        "notices": [notice_json(notice) for notice in scan.notices],
        "error": str(scan.error) if scan.error else None,
    }


def paths_json(paths: tuple[Any, ...]) -> list[str]:
    """Paths in their printed form."""
    return [path_text(path) for path in paths]
