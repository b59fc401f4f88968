"""numpy's dtypes and scalars as atoms. numpy is imported only to give them back.

Source: docs/format.md section "Atoms".
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from typing import Any

from ckptkit.errors import MissingExtraError

# Byte order, kind, item size and the unit of a datetime: what dtype.str can be, and no more.
_SIMPLE = re.compile(r"[<>|=]?[?biufcmMSUVO]\d{0,9}(\[\d{0,9}[A-Za-z]{1,3}\])?")
_MAX_FIELDS_DEPTH = 32


def loaded_numpy() -> Any:
    """Return numpy if somebody has imported it, else None."""
    return sys.modules.get("numpy")


def describe_numpy(value: Any) -> tuple[str, tuple[Any, ...]] | None:
    """Return the atom of a numpy dtype or scalar; None for anything else.

    Raises: ValueError for a dtype that has no description.
    """
    numpy = loaded_numpy()
    if numpy is None:
        return None
    if isinstance(value, numpy.dtype):
        return "numpy.dtype", (_descr(numpy, value),)
    if isinstance(value, numpy.generic):
        if value.dtype.hasobject:
            raise ValueError("a numpy scalar that holds Python objects")
        return "numpy.scalar", (_descr(numpy, value.dtype), value.tobytes()[: value.dtype.itemsize])
    return None


def _descr(numpy: Any, dtype: Any) -> Any:
    descr = numpy.lib.format.dtype_to_descr(dtype)
    if numpy.lib.format.descr_to_dtype(descr) != dtype:
        raise ValueError(f"the numpy dtype {dtype} has no description")
    return _freeze(descr)


def _freeze(descr: Any) -> Any:
    """Write numpy's own description without lists, which a frozen atom cannot hold."""
    if type(descr) is list:
        rows = ((field[0], _freeze(field[1]), *field[2:]) for field in descr)
        return ("fields", *rows)
    return ("array", _freeze(descr[0]), descr[1]) if type(descr) is tuple else descr


def parse_numpy_dtype(descr: Any) -> Any:
    """Return the numpy dtype of a description. Raises: ValueError, TypeError."""
    try:
        numpy = import_module("numpy")
    except ImportError as exc:
        raise MissingExtraError(
            "numpy", "a numpy value, but numpy is not installed", advice="pip install numpy"
        ) from exc
    return numpy.lib.format.descr_to_dtype(_thaw(descr))


def parse_numpy_scalar(descr: Any, content: bytes) -> Any:
    """Return the numpy scalar with these bytes. Raises: ValueError, TypeError."""
    dtype = parse_numpy_dtype(descr)
    if dtype.hasobject or type(content) is not bytes or len(content) != dtype.itemsize:
        raise ValueError(f"{len(content)} bytes for a numpy scalar of {dtype.itemsize}")
    numpy = import_module("numpy")
    return numpy.ndarray((), dtype, buffer=bytearray(content or b"\0"))[()]


def _thaw(descr: Any, depth: int = 0) -> Any:
    """Undo ``_freeze``; accepts only what it makes, for numpy's own parser takes far more."""
    if depth > _MAX_FIELDS_DEPTH:
        raise ValueError("a numpy dtype nested too deeply")
    if type(descr) is str and _SIMPLE.fullmatch(descr):
        return descr
    if type(descr) is not tuple or not descr:
        raise ValueError("a numpy dtype that is none")
    if descr[0] == "array" and len(descr) == 3:
        return _thaw(descr[1], depth + 1), _check_shape(descr[2])
    if descr[0] != "fields":
        raise ValueError("a numpy dtype that is none")
    return [_thaw_field(field, depth) for field in descr[1:]]


def _thaw_field(field: Any, depth: int) -> Any:
    if type(field) is not tuple or len(field) not in (2, 3):
        raise ValueError("a numpy field that is none")
    names = field[0] if type(field[0]) is tuple else (field[0],)
    if len(names) > 2 or any(type(name) is not str for name in names):
        raise ValueError("a numpy field without a name")
    return (field[0], _thaw(field[1], depth + 1), *(_check_shape(shape) for shape in field[2:]))


def _check_shape(shape: Any) -> Any:
    if type(shape) is not tuple or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError("a numpy shape that is none")
    return shape
