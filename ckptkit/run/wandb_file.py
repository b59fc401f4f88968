"""What the files of Weights & Biases end with: how many rows, and whether the run ended them.

The library writes them by a program of its own and cannot read them.
Source: wandb/core/pkg/leveldb/record.go (the log of LevelDB, with CRC-32 of kind and bytes) and
wandb/core/internal/transactionlog: seven bytes of header, then records in blocks of 32 KiB.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

_BLOCK_NBYTES, _FILE_HEADER_NBYTES = 32768, 7
_CHUNK = struct.Struct("<IHB")  # crc, length, kind
_FULL, _FIRST, _LAST = 1, 2, 4


class Tail(NamedTuple):
    """What a file ends with: how many rows the run has then, and whether the run ended it."""

    rows: int = 0
    ended: bool = False


def rows_in_files(logs: Path, run_id: str) -> int:
    """Return how many rows the offline files of a run hold: the highest number, and one."""
    found = logs.glob(f"wandb/offline-run-*-{run_id}/run-{run_id}.wandb")
    return max((read_tail(path).rows for path in found), default=0)


def read_tail(path: Path) -> Tail:
    """Read a file from its end on, block by block, as far as the last row."""
    data, blocks = path.read_bytes(), 1
    while True:
        start = max(0, (len(data) - 1) // _BLOCK_NBYTES - blocks + 1) * _BLOCK_NBYTES
        tail = _tail(_records(data, start))
        if tail.rows or not start:
            return tail
        blocks *= 4


def _tail(records: Iterable[bytes]) -> Tail:
    protobuf = import_module("google.protobuf.message")  # neither has types
    types: Any = import_module("wandb.proto.wandb_internal_pb2")
    tail = Tail()
    for record in records:
        try:
            parsed = types.Record.FromString(record)
        except protobuf.DecodeError:
            continue
        if parsed.HasField("history") and parsed.history.HasField("step"):
            tail = tail._replace(rows=max(tail.rows, parsed.history.step.num + 1))
        tail = tail._replace(ended=parsed.HasField("exit") or tail.ended)
    return tail


def _records(data: bytes, start: int) -> Iterator[bytes]:
    """Yield the whole records from a block's beginning to the first that is damaged."""
    parts: list[bytes] | None = None
    at = start or _FILE_HEADER_NBYTES
    while at + _CHUNK.size <= len(data):
        left = _BLOCK_NBYTES - at % _BLOCK_NBYTES
        crc, length, kind = _CHUNK.unpack_from(data, at) if left >= _CHUNK.size else (0, 0, 0)
        if not kind:  # the end of a block that was not used up
            at += left
            continue
        end = at + _CHUNK.size + length
        if zlib.crc32(data[at + _CHUNK.size - 1 : end]) != crc:
            return
        body = data[at + _CHUNK.size : end]
        if kind in (_FULL, _FIRST):
            parts = []
        if parts is not None:
            parts.append(body)
            if kind in (_FULL, _LAST):
                yield b"".join(parts)
        at = end
