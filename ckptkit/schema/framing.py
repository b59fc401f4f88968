"""The bytes of a manifest file: a msgpack array of a body and the digest of the body.

Source: docs/format.md section "Manifest framing".
"""

from __future__ import annotations

import struct
from typing import Any

import msgpack  # type: ignore[import-untyped]
import xxhash

from ckptkit.errors import (
    ChecksumError,
    LimitExceededError,
    ManifestError,
    TruncatedFileError,
    UnrepresentableError,
)
from ckptkit.types import Limits

_HEAD = struct.Struct(">BBI")  # array of 2, bin 32, length of the body
_ARRAY_OF_2, _BIN_32 = 0x92, 0xC6
_TAIL = b"\xc4\x10"  # bin 8 of 16 bytes: the digest
_DIGEST_NBYTES = 16
FRAME_NBYTES = _HEAD.size + len(_TAIL) + _DIGEST_NBYTES
_MAX_BODY_NBYTES = 2**32 - 1
_MAX_MAPS = 10_000  # an honest body has two, and those of unknown fields


def dump_frame(fields: dict[str, Any]) -> bytes:
    """Encode and wrap the body.

    Raises: UnrepresentableError for what msgpack cannot hold; LimitExceededError from 4 GiB on.
    """
    try:
        body = msgpack.packb(fields, use_bin_type=True)
    except (ValueError, TypeError, OverflowError) as exc:
        seen = f"something that a manifest cannot hold ({exc!s:.200})"
        raise UnrepresentableError("manifest", seen, "UTF-8 text and 64-bit integers") from exc
    if len(body) > _MAX_BODY_NBYTES:
        raise LimitExceededError(
            "manifest", f"a body of {len(body)} bytes", f"at most {_MAX_BODY_NBYTES}"
        )
    digest = xxhash.xxh3_128_digest(body)
    return b"".join((_HEAD.pack(_ARRAY_OF_2, _BIN_32, len(body)), body, _TAIL, digest))


def parse_frame(
    data: bytes, where: str, limits: Limits, *, check_digest: bool = True
) -> memoryview:
    """Return the body of a whole manifest; only a recovery does without its digest.

    Raises: ManifestError, TruncatedFileError, ChecksumError, LimitExceededError.
    """
    if len(data) > limits.max_manifest_nbytes:
        raise LimitExceededError(
            where, f"{len(data)} bytes of manifest", f"at most {limits.max_manifest_nbytes}",
            "raise the limit max_manifest_nbytes",
        )  # fmt: skip
    if data[:2] != bytes((_ARRAY_OF_2, _BIN_32))[: len(data)]:
        raise ManifestError(where, "the first bytes are not those of a manifest", "92 c6")
    nbytes = _HEAD.unpack_from(data)[2] if len(data) >= _HEAD.size else 0
    if len(data) < nbytes + FRAME_NBYTES:
        raise TruncatedFileError(
            where, f"{len(data)} bytes", f"{nbytes + FRAME_NBYTES} by its own header",
            "the copy was cut short, so fetch it again",
        )  # fmt: skip
    if len(data) > nbytes + FRAME_NBYTES:
        raise ManifestError(where, "bytes after the end of the manifest", "nothing there")
    body = memoryview(data)[_HEAD.size : _HEAD.size + nbytes]
    tail = data[_HEAD.size + nbytes :]
    if tail[: len(_TAIL)] != _TAIL:
        raise ManifestError(where, "no digest after the body", "c4 10 and 16 bytes")
    if check_digest and xxhash.xxh3_128_digest(body) != tail[len(_TAIL) :]:
        raise ChecksumError(
            where, "the manifest does not have the digest that it ends with",
            advice="it was damaged after it was written; restore it from a copy",
        )  # fmt: skip
    return body


def frame_digest(data: bytes) -> bytes:
    """Return the digest that a manifest ends with: the identity of the checkpoint."""
    return bytes(data[-_DIGEST_NBYTES:])


def parse_body(body: memoryview, where: str) -> dict[str, Any]:
    """Decode the body: plain values only, string keys, none of them twice.

    Raises: ManifestError.
    """
    try:
        _skip_once(body)
        value = msgpack.unpackb(
            body, raw=False, strict_map_key=True, ext_hook=_refuse_ext,
            object_pairs_hook=_PairsHook(),
        )  # fmt: skip
    except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException) as exc:
        seen = f"no msgpack that a manifest can hold ({type(exc).__name__}: {exc!s:.120})"
        raise ManifestError(where, seen) from exc
    if type(value) is not dict:
        raise ManifestError(where, f"a body that is a {type(value).__name__}", "a map")
    return value


def _skip_once(body: memoryview) -> None:
    """Walk the bytes without making objects: no array may claim items that are not there."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(body) + 1)
    unpacker.feed(body)
    unpacker.skip()
    if unpacker.tell() != len(body):
        raise ValueError("bytes after the map")


class _PairsHook:
    """Makes maps; refuses a key that comes twice, and more maps than anybody needs."""

    def __init__(self) -> None:
        self.n_maps = 0

    def __call__(self, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        self.n_maps += 1
        if self.n_maps > _MAX_MAPS:
            raise ValueError(f"more than {_MAX_MAPS} maps")
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a map that has one key twice")
        return made


def _refuse_ext(code: int, data: bytes) -> Any:
    raise ValueError(f"extension type {code} of {len(data)} bytes")
