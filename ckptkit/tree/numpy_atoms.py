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
_MAX_CHARS = 65_536  # of the text of a structured dtype
_FIELDS = ("names", "formats", "offsets", "itemsize")


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
        return "numpy.dtype", (numpy_dtype_text(value),)
    if isinstance(value, numpy.generic):
        if value.dtype.hasobject:
            raise ValueError("a numpy scalar that holds Python objects")
        content = value.tobytes()[: value.dtype.itemsize]
        return "numpy.scalar", (numpy_dtype_text(value.dtype), content)
    return None


def numpy_dtype_text(dtype: Any) -> str:
    """Return the text of a dtype: its code, or the literal that ``numpy.dtype`` takes.

    Raises: ValueError for a dtype whose text would not give it back (titles, metadata).
    """
    text = dtype.str if dtype.fields is None and not dtype.shape else _literal(dtype)
    if parse_numpy_dtype(text) != dtype:
        raise ValueError(f"the numpy dtype {dtype}, which no text describes")
    return text


def _literal(dtype: Any) -> str:
    if dtype.shape:
        shape = "".join(f"{size}, " for size in dtype.shape)
        return f"({_literal(dtype.base)}, ({shape}))"
    if dtype.fields is None:
        return repr(dtype.str)
    fields = [dtype.fields[name] for name in dtype.names]
    return (
        f"{{'names': {list(dtype.names)!r}, "
        f"'formats': [{', '.join(_literal(field[0]) for field in fields)}], "
        f"'offsets': {[field[1] for field in fields]!r}, 'itemsize': {dtype.itemsize}}}"
    )


def parse_numpy_dtype(text: Any) -> Any:
    """Return the numpy dtype of a text. Raises: ValueError, TypeError, MissingExtraError."""
    try:
        numpy = import_module("numpy")
    except ImportError as exc:
        raise MissingExtraError(
            "numpy", "a numpy value, but numpy is not installed", advice="pip install numpy"
        ) from exc
    if type(text) is not str or len(text) > _MAX_CHARS:
        raise ValueError("a numpy dtype that is no text, or too long a text")
    if _SIMPLE.fullmatch(text):
        return numpy.dtype(text)
    from ast import literal_eval

    try:
        literal = literal_eval(text)
    except (SyntaxError, MemoryError, RecursionError) as exc:
        raise ValueError("a numpy dtype that is none") from exc
    _check(literal)
    return numpy.dtype(literal)


def parse_numpy_scalar(text: Any, content: bytes) -> Any:
    """Return the numpy scalar with these bytes. Raises: ValueError, TypeError."""
    dtype = parse_numpy_dtype(text)
    if dtype.hasobject or type(content) is not bytes or len(content) != dtype.itemsize:
        raise ValueError(f"{len(content)} bytes for a numpy scalar of {dtype.itemsize}")
    numpy = import_module("numpy")
    return numpy.ndarray((), dtype, buffer=bytearray(content or b"\0"))[()]


def _check(literal: Any) -> None:
    """Accept only what ``numpy_dtype_text`` makes; numpy's own parser takes far more."""
    if type(literal) is str:
        if not _SIMPLE.fullmatch(literal):
            raise ValueError("a numpy dtype that is none")
    elif type(literal) is tuple and len(literal) == 2 and type(literal[1]) is tuple:
        _check_sizes(literal[1])
        _check(literal[0])
    elif type(literal) is dict and tuple(literal) == _FIELDS:
        names, formats, offsets, nbytes = literal.values()
        if any(type(column) is not list for column in (names, formats, offsets)):
            raise ValueError("numpy fields that are none")
        if any(type(name) is not str for name in names):
            raise ValueError("a numpy field without a name")
        _check_sizes((*offsets, nbytes))
        for field in formats:
            _check(field)
    else:
        raise ValueError("a numpy dtype that is none")


def _check_sizes(sizes: tuple[Any, ...]) -> None:
    if any(type(size) is not int or size < 0 for size in sizes):
        raise ValueError("a numpy size that is none")
