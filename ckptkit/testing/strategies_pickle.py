"""Hypothesis strategies for pickles: values that every protocol can write, and opcode soup."""

from __future__ import annotations

import pickle
from random import Random
from typing import Any

from hypothesis import strategies as st

from ckptkit.containers.rebuild import CALLS, NEWS

_CALLED = (*CALLS, *NEWS, ("m", "C"), ("numpy.core.multiarray", "scalar"))

_INTS = st.one_of(st.integers(-300, 300), st.integers(-(2**40), 2**40), st.integers())
_KEYS = st.one_of(st.text(max_size=8), _INTS, st.booleans(), st.none(), st.binary(max_size=4))
_SCALARS = st.one_of(
    st.none(), st.booleans(), _INTS, st.floats(), st.complex_numbers(), st.text(), st.binary(),
)  # fmt: skip


def _branches(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(children, max_size=5),
        st.lists(children, max_size=4).map(tuple),
        st.dictionaries(_KEYS, children, max_size=5),
        st.frozensets(_KEYS, max_size=4),
        st.sets(_KEYS, max_size=4),
        children.map(lambda child: [child, child]),  # the memo has something to remember
    )


def picklable_values() -> st.SearchStrategy[Any]:
    """Nested plain values, some of them shared."""
    return st.recursive(_SCALARS, _branches, max_leaves=30)


_NAMES = (
    b"os\nsystem\n", b"collections\nOrderedDict\n", b"torch._utils\n_rebuild_tensor_v2\n",
    b"torch\nFloatStorage\n", b"numpy\ndtype\n", b"numpy.core.multiarray\n_reconstruct\n",
    b"numpy\nndarray\n", b"builtins\nset\n", b"builtins\ngetattr\n", b"copyreg\n_reconstructor\n",
    b"torch._utils\n_rebuild_sparse_tensor\n", b"torch\nsparse_coo\n", b"uuid\nUUID\n",
    b"collections\ndeque\n", b"_codecs\nencode\n", b"m\nC\n", b"datetime\ndatetime\n",
    b"torch._utils\n_rebuild_qtensor\n", b"torch\nSize\n", b"numpy.core.multiarray\nscalar\n",
    b"torch._utils\n_rebuild_parameter\n", b"torch._tensor\n_rebuild_from_type_v2\n",
)  # fmt: skip
_PIECES = (
    *(b"c" + name for name in _NAMES),
    *(b"(i" + name for name in _NAMES[:4]),
    b"\x8c\x07storage", b"\x8c\x010", b"\x8c\x03cpu", b"\x8c\x02f4", b"\x8c\x01<", b"X\x02\0\0\0O8",
    b"\x8c\x06latin1", b"C\x04abcd", b"U\x02\xff\xfe", b"\x8a\x01\xff", b"G?\xf0\0\0\0\0\0\0",
    b"\x96\x02\0\0\0\0\0\0\0ab", b"I01\n", b"L5L\n", b"F1.5\n", b"S'x'\n", b"Vx\n",
)  # fmt: skip
_ONE_BYTE = b"N\x88\x89])}(\x8ftdle\x90\x91ausb0012\x85\x86\x87R\x81\x92oQ\x93\x94"


def _with_byte(code: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, 6).map(lambda value: code + bytes((value,)))


def opcode_soup() -> st.SearchStrategy[bytes]:
    """Streams of valid opcodes in any order: nearly all break some rule of the stack."""
    piece = st.one_of(
        st.sampled_from(_PIECES),
        st.sampled_from(tuple(bytes((code,)) for code in _ONE_BYTE)),
        _with_byte(b"h"), _with_byte(b"q"), _with_byte(b"K"), _with_byte(b"\x82"),
        st.binary(min_size=1, max_size=2),
    )  # fmt: skip
    return st.lists(piece, max_size=60).map(lambda parts: b"".join(parts) + b".")


def damaged_pickles() -> st.SearchStrategy[bytes]:
    """Honest pickles of any protocol with a few bytes changed, cut out or put in."""

    @st.composite
    def damaged(draw: st.DrawFn) -> bytes:
        value, protocol = draw(picklable_values()), draw(st.integers(0, 5))
        data = bytearray(pickle.dumps(value, protocol))
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(data)))
            data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
        return bytes(data)

    return damaged()


_LEAVES = (
    b"N",
    b"\x88",
    b"\x89",
    b"K\x00",
    b"K\x01",
    b"K\x02",
    b"K\x04",
    b"J\xff\xff\xff\xff",
    b"\x8a\x09" + b"\x7f" * 9,
    b"G?\xf0\0\0\0\0\0\0",
    b"G\x7f\xf8\0\0\0\0\0\0",
    b"\x8c\x00",
    b"\x8c\x01<",
    b"\x8c\x01>",
    b"\x8c\x02f4",
    b"\x8c\x02O8",
    b"\x8c\x03V12",
    b"\x8c\x02M8",
    b"\x8c\x06latin1",
    b"\x8c\x03cpu",
    b"\x8c\x04mean",
    b"C\x00",
    b"C\x04abcd",
    b"C\x0a0123456789",
    b"U\x04\xff\xfe\xfd\xfc",
    b"\x96\x02\0\0\0\0\0\0\0ab",
    b"ctorch\nfloat32\n",
    b"ctorch\nint64\n",
    b"ctorch\nsparse_coo\n",
    b"ctorch\nsparse_csr\n",
    b"ctorch\nper_channel_affine\n",
    b"ctorch\nper_tensor_affine\n",
    b"ctorch\nqint8\n",
    b"cm\nC\n",
    b"cnumpy\nndarray\n",
    b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpuK\x08tQ",
    b"]",
    b"}",
    b")",
    b"(\x8c\x07storagectorch\nQInt8Storage\n\x8c\x011\x8c\x03cpuK\x08tQ",
    b"(\x8c\x07storagectorch\nLongStorage\n\x8c\x012\x8c\x03cpuK\x08tQ",
    b"ctorch._utils\n_rebuild_tensor_v2\n((\x8c\x07storagectorch\nLongStorage\n\x8c\x012\x8c\x03cpuK\x08tQK\0K\x02K\x02\x86K\x02K\x01\x86\x89}tR",
    b"cnumpy\ndtype\n(\x8c\x02f4\x89\x88tR(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb",
)


def _program(rng: Random, depth: int) -> bytes:
    """Opcodes that push exactly one value; calls get arguments of any kind and number."""
    if depth == 0 or rng.random() < 0.25:
        return rng.choice(_LEAVES)
    parts = [_program(rng, depth - 1) for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4, 4, 6, 7)))]
    body = b"(" + b"".join(parts)
    if rng.random() < 0.6:
        name = b"c%s\n%s\n" % tuple(part.encode() for part in rng.choice(_CALLED))
        call = name + body + b"t" + rng.choice((b"R", b"R", b"R", b"\x81", b"}\x92"))
        state = _program(rng, depth - 1) + b"b" if rng.random() < 0.3 else b""
        return call + rng.choice((b"", b"\x94")) + state
    return body + rng.choice((b"t", b"l", b"t", b"\x91", b"d"))


def call_programs() -> st.SearchStrategy[bytes]:
    """Streams that keep the rules of the stack, and call known names with odd arguments."""
    return st.randoms(use_true_random=False).map(lambda rng: _program(rng, 4) + b".")
