"""Frozen values that every room shares: dtypes, tensor specs, spans, limits, notices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

MANIFEST_NAME = "manifest.msgpack"  # docs/format.md: written last, so its presence is the seal
SEALED_CONTAINER = "ckptkit-v2"  # what a sealed folder is called among the containers

#: A hidden sibling of a checkpoint that a writer makes: label, kind, owner, token.
LEFTOVER_PATTERN = r"\.(.+)\.(stage|old)-(\d+-\d+-[0-9a-f]+)-([0-9a-f]{8})"


class DType(NamedTuple):
    """An element type, under the name that torch prints for it (without ``torch.``).

    ``safetensors`` is the header code of the type a tensor of this dtype is stored as, and
    ``stored_elems`` how many such elements stand for one of ours (2 for complex128, which
    safetensors lacks: docs/format.md section "Dtypes"). ``swap_nbytes`` is the unit of a byte swap.
    """

    name: str
    nbytes: int
    kind: str  # f float, i signed, u unsigned, b bool, c complex, q quantized, x raw bits
    safetensors: str
    stored_elems: int = 1
    swap_nbytes: int = 0


def _dtypes() -> dict[str, DType]:
    rows = [
        DType("bool", 1, "b", "BOOL"),
        DType("uint8", 1, "u", "U8"),
        DType("int8", 1, "i", "I8"),
        DType("uint16", 2, "u", "U16", 1, 2),
        DType("int16", 2, "i", "I16", 1, 2),
        DType("uint32", 4, "u", "U32", 1, 4),
        DType("int32", 4, "i", "I32", 1, 4),
        DType("uint64", 8, "u", "U64", 1, 8),
        DType("int64", 8, "i", "I64", 1, 8),
        DType("float16", 2, "f", "F16", 1, 2),
        DType("bfloat16", 2, "f", "BF16", 1, 2),
        DType("float32", 4, "f", "F32", 1, 4),
        DType("float64", 8, "f", "F64", 1, 8),
        DType("complex32", 4, "c", "F16", 2, 2),
        DType("complex64", 8, "c", "C64", 1, 4),
        DType("complex128", 16, "c", "F64", 2, 8),
        DType("float8_e4m3fn", 1, "f", "F8_E4M3"),
        DType("float8_e5m2", 1, "f", "F8_E5M2"),
        DType("float8_e4m3fnuz", 1, "f", "F8_E4M3FNUZ"),
        DType("float8_e5m2fnuz", 1, "f", "F8_E5M2FNUZ"),
        DType("float8_e8m0fnu", 1, "f", "F8_E8M0"),
        DType("float4_e2m1fn_x2", 1, "x", "U8"),
        DType("qint8", 1, "q", "I8"),
        DType("quint8", 1, "q", "U8"),
        DType("qint32", 4, "q", "I32", 1, 4),
        DType("quint4x2", 1, "q", "U8"),
        DType("quint2x4", 1, "q", "U8"),
        DType("bits1x8", 1, "x", "U8"),
        DType("bits2x4", 1, "x", "U8"),
        DType("bits4x2", 1, "x", "U8"),
        DType("bits8", 1, "x", "U8"),
        DType("bits16", 2, "x", "U16", 1, 2),
        # Sub-byte shell dtypes: torch gives every one a whole byte of its storage.
        *(DType(f"int{n}", 1, "x", "U8") for n in range(1, 8)),
        *(DType(f"uint{n}", 1, "x", "U8") for n in range(1, 8)),
    ]
    return {row.name: row for row in rows}


DTYPES: dict[str, DType] = _dtypes()


@lru_cache(4096)  # the shapes of a model are few, and asked for again and again
def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides in elements, as torch makes them (an axis of size 0 counts as 1)."""
    if len(shape) == 1:  # half of all tensors, when there are very many
        return (1,)
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


class ByteSpan(NamedTuple):
    """Bytes ``start`` (included) to ``stop`` (excluded)."""

    start: int
    stop: int

    @property
    def nbytes(self) -> int:
        """How many bytes lie inside."""
        return self.stop - self.start


class TensorSpec(NamedTuple):
    """What a stored tensor is, apart from its bytes: name, dtype, shape (row-major)."""

    name: str
    dtype: DType
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the contiguous tensor."""
        return math.prod(self.shape) * self.dtype.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an untrusted file may ask of us; every field is raised by ``--limit NAME=VALUE``.

    Units: bytes, nodes, levels, entries as the names say. A budget of nodes grows with the
    file, because an honest large file has many: ``base_nodes + file_nbytes // nbytes_per_node``.
    """

    max_pickle_nbytes: int = 2 << 30
    max_header_nbytes: int = 100_000_000  # the limit of the safetensors format itself
    max_manifest_nbytes: int = 1 << 30
    max_json_nbytes: int = 64 << 20
    max_entries: int = 1_000_000  # of an archive, or files of a folder
    max_inflate_ratio: int = 200  # a deflated entry may grow by this much
    base_nodes: int = 100_000
    nbytes_per_node: int = 16
    max_depth: int = 20_000  # levels of nesting that a tree may have
    max_int_digits: int = 4_300  # of a decimal integer, as Python itself limits it
    max_key_nodes: int = 10_000  # nodes inside one mapping key
    max_rank: int = 64  # dimensions of a tensor
    max_expand_nbytes: int = 64 << 20  # an expand()ed view may show this many bytes, or
    max_expand_ratio: int = 1024  # this many times its storage, whichever is more
    max_growth_nbytes: int = 1 << 30  # a migrated checkpoint may have this many bytes, or
    max_growth_ratio: int = 64  # this many times its source, whichever is more

    def max_nodes(self, file_nbytes: int) -> int:
        """The node budget of a file of this size."""
        return self.base_nodes + file_nbytes // self.nbytes_per_node


DEFAULT_LIMITS = Limits()


class Notice(NamedTuple):
    """Something a reader wants said although it did not stop: shown by every verb.

    ``level``: "info", "warning" or "danger". ``code`` is stable and for programs.
    """

    level: str
    code: str
    message: str
    where: str = ""


class Coverage(NamedTuple):
    """How much of what is wanted gets filled. Units: tensors, bytes.

    Of a model only its parameters count, unless it has none.
    """

    tensors: int = 0
    of_tensors: int = 0
    nbytes: int = 0
    of_nbytes: int = 0

    @property
    def fraction(self) -> float:
        """The smaller of both fractions; 1 where nothing is wanted."""
        by_count = self.tensors / self.of_tensors if self.of_tensors else 1.0
        by_bytes = self.nbytes / self.of_nbytes if self.of_nbytes else 1.0
        return min(by_count, by_bytes)


NOT_COVERED = Coverage()
