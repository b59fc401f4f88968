"""Small floating point formats, read by their bits."""

from __future__ import annotations

import math
from typing import NamedTuple


class _Format(NamedTuple):
    """A floating point format.

    ``special``: "ieee" (inf, NaN), "fn" (NaN only, all ones), "fnuz" (NaN is minus zero),
    "e8m0" (a power of two, no sign).
    """

    exponent_bits: int
    mantissa_bits: int
    bias: int
    special: str


# Source: OCP 8-bit floating point specification 1.0; the "fnuz" kinds: arXiv 2206.02915.
SMALL_FLOATS = {
    "float16": _Format(5, 10, 15, "ieee"),
    "bfloat16": _Format(8, 7, 127, "ieee"),
    "float8_e4m3fn": _Format(4, 3, 7, "fn"),
    "float8_e5m2": _Format(5, 2, 15, "ieee"),
    "float8_e4m3fnuz": _Format(4, 3, 8, "fnuz"),
    "float8_e5m2fnuz": _Format(5, 2, 16, "fnuz"),
    "float8_e8m0fnu": _Format(8, 0, 127, "e8m0"),
}


def decode_bits(name: str, bits: int) -> float:
    """The value of one element of a small floating point dtype from its bits."""
    form = SMALL_FLOATS[name]
    if form.special == "e8m0":
        return math.nan if bits == 0xFF else 2.0 ** (bits - form.bias)
    sign_bit = form.exponent_bits + form.mantissa_bits
    sign = -1.0 if bits >> sign_bit else 1.0
    if form.special == "fnuz" and bits == 1 << sign_bit:
        return math.nan
    exponent = (bits >> form.mantissa_bits) & ((1 << form.exponent_bits) - 1)
    mantissa = bits & ((1 << form.mantissa_bits) - 1)
    top = exponent == (1 << form.exponent_bits) - 1
    if form.special == "ieee" and top:
        return math.nan if mantissa else sign * math.inf
    if form.special == "fn" and top and mantissa == (1 << form.mantissa_bits) - 1:
        return math.nan
    scale = 2.0**-form.mantissa_bits
    if exponent == 0:
        return sign * mantissa * scale * 2.0 ** (1 - form.bias)
    return sign * (1 + mantissa * scale) * 2.0 ** (exponent - form.bias)
