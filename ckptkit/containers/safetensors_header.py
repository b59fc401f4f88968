"""The header of a safetensors file: strict parsing, deterministic dumping; no tensor bytes.

Source: the safetensors format (8 bytes little-endian length, a JSON object padded with spaces,
then the tensors back to back) and docs/format.md section "Data files".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ckptkit.errors import (
    CorruptFileError,
    LimitExceededError,
    TruncatedFileError,
    UnrepresentableError,
)
from ckptkit.types import DEFAULT_LIMITS, DTYPES, ByteSpan, DType, Limits, TensorSpec

LENGTH_NBYTES = 8  # the header's own length, in front of it
METADATA_KEY = "__metadata__"
MAX_DIMENSION = (1 << 63) - 1  # what torch can count with

# Every code that the format knows, in bits: the sub-byte ones pack their elements.
CODE_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
_KINDS_THAT_BORROW = ("q", "x")  # quantized and raw bits are stored as plain integers
DTYPE_OF_CODE: dict[str, DType] = {
    row.safetensors: row
    for row in DTYPES.values()
    if row.stored_elems == 1 and row.kind not in _KINDS_THAT_BORROW
}


class HeaderEntry(NamedTuple):
    """One tensor as the header describes it. Units: bytes from the start of the data section."""

    name: str
    code: str
    shape: tuple[int, ...]
    start: int
    stop: int


class Header(NamedTuple):
    """A header that was checked whole: its entries, in its own order, tile the data exactly."""

    entries: list[HeaderEntry]
    metadata: dict[str, str]


class _DuplicateKeyError(ValueError):
    """A JSON object names one key twice."""


def shown(name: str) -> str:
    """Make a name of a hostile file safe for a terminal, and short."""
    text = ascii(name)[1:-1]
    return text if len(text) <= 100 else f"{text[:97]}..."


def parse_header(
    data: bytes, where: str, data_nbytes: int, limits: Limits = DEFAULT_LIMITS
) -> Header:
    """Read the JSON of a header and hold it against the bytes that follow it.

    ``data`` is the header without its length; ``data_nbytes`` is what follows it in the file.
    Raises: CorruptFileError, TruncatedFileError, LimitExceededError.
    """
    raw = load_object(data, where, limits)
    metadata = checked_metadata(raw.pop(METADATA_KEY, None), where)
    entries = [checked_entry(name, value, where, limits) for name, value in raw.items()]
    _check_tiling(entries, where, data_nbytes)
    return Header(entries, metadata)


def load_object(data: bytes, where: str, limits: Limits) -> dict[str, Any]:
    """Read the JSON of a header, strictly. Raises: CorruptFileError, LimitExceededError."""
    import json

    if data[:1] != b"{":
        raise CorruptFileError(where, "the header does not begin with '{'", "a JSON object")
    budget = limits.max_nodes(len(data))
    if data.count(b"{") + data.count(b"[") > budget:
        seen = f"the header has more than {budget} objects and lists"
        raise LimitExceededError(where, seen, advice="raise base_nodes if you trust the file")
    try:
        text = data.decode("utf-8")
        raw = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as exc:
        raise LimitExceededError(where, "the header is nested too deeply", "3 levels") from exc
    except ValueError as exc:  # not UTF-8, not JSON, a key twice, a number of 5,000 digits
        raise CorruptFileError(where, f"the header is no strict JSON: {shown(str(exc))}") from exc
    if type(raw) is not dict or text.rstrip(" ")[-1:] != "}":
        raise CorruptFileError(where, "the header is not one JSON object padded with spaces")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _DuplicateKeyError(f"the key {twice!r} stands twice in one object")
    return found


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def checked_metadata(value: Any, where: str) -> dict[str, str]:
    """Accept what stands at ``__metadata__``, or nothing. Raises: CorruptFileError."""
    if value is None:
        return {}
    if type(value) is not dict or any(type(text) is not str for text in value.values()):
        raise CorruptFileError(where, f"{METADATA_KEY} is not a map of strings to strings")
    return value


_FIELDS = {"dtype", "shape", "data_offsets"}


def checked_entry(name: str, value: Any, where: str, limits: Limits) -> HeaderEntry:
    """Read one tensor's description. Raises: CorruptFileError, LimitExceededError."""
    if type(value) is not dict or value.keys() != _FIELDS:
        wanted = "exactly dtype, shape and data_offsets"
        raise CorruptFileError(where, f"tensor '{shown(name)}' has other fields", wanted)
    code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    bits = CODE_BITS.get(code) if type(code) is str else None
    if bits is None:
        told = shown(code) if type(code) is str else f"of type {type(code).__name__}"
        seen = f"tensor '{shown(name)}' has the dtype {told}"
        raise CorruptFileError(where, seen, "a dtype of the safetensors format")
    if not _are_counts(shape):
        raise CorruptFileError(where, f"the shape of tensor '{shown(name)}' is no list of counts")
    if len(shape) > limits.max_rank:
        seen = f"tensor '{shown(name)}' has {len(shape)} dimensions"
        raise LimitExceededError(where, seen, f"at most {limits.max_rank} (max_rank)")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise CorruptFileError(where, f"tensor '{shown(name)}' has no pair of data_offsets")
    _check_size(name, shape, bits, offsets, where)
    return HeaderEntry(name, code, tuple(shape), offsets[0], offsets[1])


def _are_counts(value: Any) -> bool:
    """A plain loop, because a header has hundreds of thousands of these."""
    if type(value) is not list:
        return False
    for count in value:  # noqa: SIM110 - see above
        if type(count) is not int or count < 0:
            return False
    return True


def _check_size(name: str, shape: list[int], bits: int, offsets: list[int], where: str) -> None:
    numel = math.prod(shape)
    # A zero hides the other dimensions from the product, but not from torch's strides.
    if (numel or math.prod([n or 1 for n in shape])) * bits > MAX_DIMENSION:
        raise CorruptFileError(where, f"the shape of tensor '{shown(name)}' overflows 63 bits")
    start, stop = offsets
    if start > stop or (stop - start) * 8 != numel * bits:
        seen = f"tensor '{shown(name)}' lies at {start}:{stop}, its shape needs {numel} elements"
        raise CorruptFileError(where, seen, f"{numel * bits / 8:g} bytes, forwards")


def _check_tiling(entries: list[HeaderEntry], where: str, data_nbytes: int) -> None:
    """The tensors must lie back to back from the first to the last byte of the data."""
    end = 0
    for entry in sorted(entries, key=_by_offset):
        if entry.start != end:
            fault = "overlaps another" if entry.start < end else "leaves a hole before it"
            seen = f"tensor '{shown(entry.name)}' at byte {entry.start} {fault}"
            raise CorruptFileError(where, seen, f"it at byte {end}")
        end = entry.stop
    if end > data_nbytes:
        seen = f"{data_nbytes} bytes follow the header"
        advice = "the copy was cut short, so fetch it again"
        raise TruncatedFileError(where, seen, f"the {end} bytes that it promises", advice)
    if end < data_nbytes:
        seen = f"{data_nbytes - end} bytes lie behind the last tensor"
        raise CorruptFileError(where, seen, "the file to end there")


def _by_offset(entry: HeaderEntry) -> tuple[int, int]:
    return entry.start, entry.stop


def stored_shape(spec: TensorSpec) -> tuple[int, ...]:
    """Say which shape a tensor has under the dtype that it is stored as (complex128 is F64 x 2)."""
    return spec.shape if spec.dtype.stored_elems == 1 else (*spec.shape, spec.dtype.stored_elems)


def alignment_order(specs: Sequence[TensorSpec]) -> list[int]:
    """Order tensors so that each lies at a multiple of its element size: widest first, stable."""
    return sorted(range(len(specs)), key=lambda index: -specs[index].dtype.nbytes)


def dump_header(
    specs: Sequence[TensorSpec], metadata: Mapping[str, str] | None = None
) -> tuple[bytes, list[ByteSpan]]:
    """Make the bytes before the first tensor, and say where in the file each tensor lies.

    The tensors lie back to back in the order given; the same input gives the same bytes, and
    their number is a multiple of 8. Give the specs in ``alignment_order`` to keep every element
    aligned. Units: spans in bytes from the start of the file.
    Raises: UnrepresentableError for a name twice, ``__metadata__``, or text that is no UTF-8;
    LimitExceededError for a header over the 100 MB of the format.
    """
    import json

    fields: dict[str, Any] = {METADATA_KEY: dict(metadata)} if metadata else {}
    stops: list[int] = []
    end = 0
    for spec in specs:
        if spec.name in fields or spec.name == METADATA_KEY:
            raise UnrepresentableError(shown(spec.name), "this name cannot stand for a tensor here")
        start, end = end, end + spec.nbytes
        stops.append(end)
        fields[spec.name] = {
            "dtype": spec.dtype.safetensors,
            "shape": stored_shape(spec),
            "data_offsets": (start, end),
        }
    try:
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as exc:
        name = shown(exc.object[max(exc.start - 20, 0) : exc.end + 20])
        raise UnrepresentableError(name, "a name with half a surrogate pair is no UTF-8") from exc
    return _framed(text, stops)


def _framed(text: bytes, stops: list[int]) -> tuple[bytes, list[ByteSpan]]:
    text += b" " * (-len(text) % LENGTH_NBYTES)
    if len(text) > DEFAULT_LIMITS.max_header_nbytes:
        seen = f"the header would take {len(text)} bytes"
        advice = "spread the tensors over several files"
        raise LimitExceededError("safetensors header", seen, "at most 100,000,000", advice)
    first = LENGTH_NBYTES + len(text)
    starts = [0, *stops[:-1]]
    spans = [ByteSpan(first + a, first + b) for a, b in zip(starts, stops, strict=False)]
    return len(text).to_bytes(LENGTH_NBYTES, "little") + text, spans
