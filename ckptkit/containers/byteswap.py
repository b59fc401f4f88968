"""Change runs of elements in place: byte order, and the signs that conj and neg bits stand for.

Everything works on raw bytes at the speed of C, without numpy and whatever the host's own order.
"""

from __future__ import annotations

from array import array

from ckptkit.types import DType

_CODES = {array(code).itemsize: code for code in "BHILQ"}
_FLIP_TOP_BIT = bytes(byte ^ 0x80 for byte in range(256))

# What an unsigned zero or the only NaN is to a format without a negative zero stays as it is.
_FLIP_TOP_BIT_FNUZ = bytes(byte if byte in (0, 0x80) else byte ^ 0x80 for byte in range(256))


def swap_bytes(data: memoryview, unit: int) -> None:
    """Reverse the bytes of every ``unit`` in place; ``data`` holds whole units."""
    if unit <= 1:
        return
    items = array(_CODES[unit])
    items.frombytes(data)
    items.byteswap()
    data[:] = memoryview(items).cast("B")


def negate_imaginary(data: memoryview, dtype: DType) -> None:
    """Conjugate little-endian complex numbers in place."""
    part = dtype.nbytes // 2
    last_byte = dtype.nbytes - 1  # the sign of the imaginary part is the top bit of its last byte
    _translate(data, last_byte, 2 * part, _FLIP_TOP_BIT)


def can_negate(dtype: DType) -> bool:
    """Say whether ``negate`` knows what minus means for this dtype."""
    return dtype.kind in "fciu" and dtype.name != "float8_e8m0fnu"


def negate(data: memoryview, dtype: DType) -> None:
    """Turn every number of little-endian ``data`` into its negative, in place."""
    if dtype.kind in "iu":
        _negate_integers(data, dtype.nbytes)
        return
    unit = dtype.nbytes // 2 if dtype.kind == "c" else dtype.nbytes
    table = _FLIP_TOP_BIT_FNUZ if dtype.name.endswith("fnuz") else _FLIP_TOP_BIT
    _translate(data, unit - 1, unit, table)


def _translate(data: memoryview, first: int, step: int, table: bytes) -> None:
    data[first::step] = bytes(data[first::step]).translate(table)


def _negate_integers(data: memoryview, nbytes: int) -> None:
    """Two's complement, as torch negates signed and unsigned alike."""
    modulus = 1 << (8 * nbytes)
    for start in range(0, data.nbytes, nbytes):
        value = int.from_bytes(data[start : start + nbytes], "little")
        data[start : start + nbytes] = (-value % modulus).to_bytes(nbytes, "little")
