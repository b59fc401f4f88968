"""safetensors files by hand: a header of any text, any length, any bytes behind it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any


def frame(
    header: bytes, data: bytes = b"", *, length: int | None = None, pad: bool = True
) -> bytes:
    """Put the length before the header and the bytes behind; ``length`` lies."""
    if pad:
        header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype: Any = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> dict[str, Any]:
    """The description of one tensor."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def safetensors(header: Mapping[str, Any] | str | None = None, data: bytes | None = None) -> bytes:
    """A file from a header given as a mapping or as JSON text."""
    what: Any = {"weight": entry()} if header is None else header
    body = what if isinstance(what, str) else json.dumps(what)
    raw = struct.pack("<4f", 1.0, 2.0, 3.0, 4.0) if data is None else data
    return frame(body.encode("utf-8", "surrogatepass"), raw)
