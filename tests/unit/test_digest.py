"""Digests are those of the reference implementation, however the bytes are handed over."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ckptkit.errors import ChecksumError
from ckptkit.storage.crew import BLOCK_NBYTES
from ckptkit.storage.digest import digest_many, digest_of, digest_of_bytes, first_difference
from ckptkit.testing.faults import FailingSource


class Bytes:
    def __init__(self, data: bytes) -> None:
        self._view, self.nbytes = memoryview(data), len(data)

    def read_into(self, offset: int, out: memoryview) -> None:
        assert 0 <= offset <= offset + len(out) <= self.nbytes
        out[:] = self._view[offset : offset + len(out)]


SIZES = [0, 1, 15, 16, 17, BLOCK_NBYTES - 1, BLOCK_NBYTES, BLOCK_NBYTES + 1, 3 * BLOCK_NBYTES + 7]


@pytest.mark.parametrize("nbytes", SIZES)
def test_a_digest_is_that_of_the_whole(nbytes):
    data = random.Random(nbytes).randbytes(nbytes)
    expected = xxhash.xxh3_128(data).digest()
    assert len(expected) == 16
    assert digest_of(Bytes(data)) == expected
    assert digest_of(Bytes(data), memoryview(bytearray(999))) == expected
    assert digest_of_bytes(data) == expected
    assert digest_many([Bytes(data)] * 3, workers=2) == [expected] * 3


def test_the_published_digest_of_nothing():
    # Source: xxHash, cli/xsum_sanity_check.c, XXH3 128 bits, length 0, seed 0.
    assert digest_of(Bytes(b"")).hex() == "99aa06d3014798d86001c324468d497f"


@given(st.lists(st.binary(max_size=300), max_size=60), st.integers(1, 4))
def test_many_digests_come_in_the_order_of_their_sources(datas, workers):
    assert digest_many([Bytes(d) for d in datas], workers=workers) == [
        xxhash.xxh3_128_digest(d) for d in datas
    ]


def test_progress_adds_up():
    told: list[int] = []
    digest_many([Bytes(bytes(n)) for n in SIZES], workers=2, progress=told.append)
    assert sum(told) == sum(SIZES)


def test_an_error_of_a_source_comes_out_unchanged():
    error = ChecksumError("tensor", "bad CRC")
    with pytest.raises(ChecksumError) as caught:
        digest_many([Bytes(b"x"), FailingSource(10, 5, error)])
    assert caught.value is error


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_the_first_difference_is_where_a_loop_finds_it(one, other):
    at = first_difference(Bytes(one), Bytes(other))
    if at is None:
        assert one == other
    else:
        assert one[:at] == other[:at]
        assert one[at : at + 1] != other[at : at + 1]


def test_a_difference_beyond_the_first_block_is_found():
    data = bytearray(2 * BLOCK_NBYTES + 5)
    other = bytes(data)
    data[BLOCK_NBYTES + 3] = 1
    assert first_difference(Bytes(bytes(data)), Bytes(other)) == BLOCK_NBYTES + 3


def test_reading_a_digest_loads_neither_ctypes_nor_threads_pools():
    code = (
        "import sys, ckptkit.storage.catalog, ckptkit.storage.digest;"
        "sys.exit(any(m in sys.modules for m in ('ctypes', 'concurrent.futures', 'shutil', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
