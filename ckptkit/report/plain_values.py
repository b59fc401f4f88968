"""Settings of any kind as plain data and as short text: nothing of them reaches a terminal raw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ckptkit.tree.paths import escape_text

_MAX_DEPTH = 20
_MAX_EXACT_INT = 1 << 63
_MAX_CHARS = 40


def plain_value(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON has it: NaN, infinities, bytes, tensors and objects become strings.

    Integers beyond 64 bits become strings, too, and keys of mappings always are.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return _plain_int(int(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if depth >= _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {str(plain_value(key)): plain_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain_value(item, depth + 1) for item in value), key=str)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _plain_tensor(value, depth)
    return _said(value)


def value_text(value: Any, width: int = _MAX_CHARS) -> str:
    """``value`` in one short line that is safe on any terminal."""
    return _cut(escape_text(_spelled(plain_value(value))), width)


def _spelled(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_spelled(item) for item in value[:9])}{', …' if value[9:] else ''}]"
    if isinstance(value, dict):
        items = [f"{key}: {_spelled(item)}" for key, item in [*value.items()][:9]]
        return f"{{{', '.join(items)}{', …' if len(value) > 9 else ''}}}"
    return "none" if value is None else str(value)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _plain_int(value: int) -> Any:
    if -_MAX_EXACT_INT <= value < 2 * _MAX_EXACT_INT:
        return value
    return f"<integer of {value.bit_length()} bits>"


def _plain_tensor(value: Any, depth: int) -> Any:
    """A tensor of one element as that number; any other as its dtype and shape."""
    shape = [int(size) for size in value.shape]
    if math.prod(shape) == 1 and callable(getattr(value, "item", None)):
        try:
            return plain_value(value.item(), depth + 1)
        except (RuntimeError, ValueError, TypeError):
            pass  # on the meta device there is none
    name = getattr(value.dtype, "name", str(value.dtype)).removeprefix("torch.")
    return f"<{name} {shape}>"


def _said(value: Any) -> str:
    """What an object says of itself, if that is short; its type else."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if type(value).__module__ in ("builtins", "pathlib", "datetime", "torch"):
        said = repr(value)
        return said if len(said) <= 200 and " at 0x" not in said else f"<{kind}>"
    return f"<{kind}>"
