"""What a cut or damaged safetensors file still holds, by whatever of its header can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from ckptkit.containers.bytesource import FileBytes, MemoryBytes
from ckptkit.containers.gc_pause import paused_gc
from ckptkit.containers.safetensors import tensor_of_entry
from ckptkit.containers.safetensors_header import (
    LENGTH_NBYTES,
    METADATA_KEY,
    HeaderEntry,
    checked_entry,
    checked_metadata,
    load_object,
    shown,
)
from ckptkit.containers.salvage import Findings, Gone
from ckptkit.errors import ContainerError, CorruptFileError, TruncatedFileError
from ckptkit.nodes import MapNode, Storage
from ckptkit.protocols import Opened
from ckptkit.types import Limits

# One tensor's description, as every writer spells it but for blanks.
_ENTRY = re.compile(rb'"((?:[^"\\]|\\.){0,4096})"\s*:\s*(\{[^{}]{0,4096}\})')
_END = re.compile(rb"\}\s*\}")


class _Head(NamedTuple):
    entries: list[HeaderEntry]
    metadata: dict[str, str]
    data_start: int


def salvage_safetensors(path: FilePath, limits: Limits, findings: Findings) -> Opened:
    """Open a file whose header can be read, in parts at least; tensors that lie whole are whole.

    The format has no checksums. Raises: ContainerError if no tensor's description is left.
    """
    file = FileBytes(path)
    try:
        with paused_gc():
            head = _read_head(file, limits, findings)
            root = _tensors(file, head, findings)
    except BaseException:
        file.close()
        raise
    return Opened(
        path=path, container="safetensors", nbytes=file.nbytes, root=root,
        properties={"metadata": MapNode(head.metadata)}, close=file.close,
    )  # fmt: skip


def _read_head(file: FileBytes, limits: Limits, findings: Findings) -> _Head:
    where = str(file.where)
    if file.nbytes < LENGTH_NBYTES + 2:
        raise TruncatedFileError(where, f"has {file.nbytes} bytes", "a header at least")
    nbytes = int.from_bytes(file.read(0, LENGTH_NBYTES), "little")
    room = min(file.nbytes - LENGTH_NBYTES, limits.max_header_nbytes)
    seen = f"it has {file.nbytes} bytes, its header would end at {LENGTH_NBYTES + nbytes}"
    if nbytes <= room:
        data = file.read(LENGTH_NBYTES, nbytes)
        try:
            raw = load_object(data, where, limits)
        except CorruptFileError as exc:
            seen = exc.seen
        else:
            return _from_object(raw, LENGTH_NBYTES + nbytes, where, limits, findings)
    head = _unframed(file, file.read(LENGTH_NBYTES, room), limits, findings)
    if head is not None:
        return head
    if nbytes > room or not data.rstrip(b" ").endswith(b"}"):
        raise TruncatedFileError(
            where, seen, "a whole header: without it nothing says where a tensor lies",
            "use an older checkpoint",
        )  # fmt: skip
    findings.guess(f"the header is damaged ({seen}); read entry by entry")
    return _by_pattern(file, data, LENGTH_NBYTES + nbytes, limits)


def _unframed(file: FileBytes, data: bytes, limits: Limits, findings: Findings) -> _Head | None:
    """A whole header whose length is damaged: every official one is a multiple of 8."""
    match = _END.search(data)
    if match is None:
        return None
    try:
        raw = load_object(data[: match.end()], str(file.where), limits)
    except ContainerError:
        return None
    nbytes = match.end() + -match.end() % LENGTH_NBYTES
    findings.guess(f"the length of the header is damaged; it is taken for {nbytes}")
    return _from_object(raw, LENGTH_NBYTES + nbytes, str(file.where), limits, findings)


def _from_object(
    raw: dict[str, Any], data_start: int, where: str, limits: Limits, findings: Findings
) -> _Head:
    try:
        metadata = checked_metadata(raw.pop(METADATA_KEY, None), where)
    except ContainerError as exc:
        findings.guess(exc.seen)
        metadata = {}
    entries = []
    for name, value in raw.items():
        try:
            entries.append(checked_entry(name, value, where, limits))
        except ContainerError as exc:
            findings.gone.append(Gone(name, None, "", exc.seen))
    return _Head(entries, metadata, data_start)


def _by_pattern(file: FileBytes, data: bytes, data_start: int, limits: Limits) -> _Head:
    """Read the descriptions that still are some; the damaged one leaves a gap in the data.

    Raises: CorruptFileError if there are none.
    """
    found: dict[str, HeaderEntry] = {}
    twice: set[str] = set()
    for match in _ENTRY.finditer(data):
        try:
            (name,) = json.loads(b'["' + match[1] + b'"]')
            entry = checked_entry(name, json.loads(match[2]), str(file.where), limits)
        except (ValueError, RecursionError, ContainerError):
            continue
        twice |= {name} if name in found else set()
        found[name] = entry
    entries = [entry for name, entry in found.items() if name not in twice]
    if not entries:
        raise CorruptFileError(
            file.where, "no description of a tensor is left in its header",
            advice="use an older checkpoint",
        )  # fmt: skip
    return _Head(entries, {}, data_start)


def _tensors(file: FileBytes, head: _Head, findings: Findings) -> MapNode:
    """Lazy tensors of every description, those without bytes marked as lost."""
    room = file.nbytes - head.data_start
    shared = _overlapping(head.entries)
    root = MapNode()
    for entry in head.entries:
        nbytes = entry.stop - entry.start
        storage = Storage(entry.name, nbytes, None)
        if not nbytes:
            storage.source = MemoryBytes(b"")
        elif entry.stop > room:
            seen = f"the file ends {entry.stop - room:,} bytes before the end of this tensor"
            findings.lose(storage, seen)
        elif entry.name in shared:
            findings.lose(storage, f"its bytes are those of '{shown(shared[entry.name])}', too")
        else:
            start = head.data_start + entry.start
            storage.source = file.part(start, start + nbytes, file.where)
        root[entry.name] = tensor_of_entry(entry, storage)
    for start, stop in _holes(head.entries, room):
        findings.guess(f"bytes {start} to {stop} of the data belong to no readable description")
    return root


def _overlapping(entries: list[HeaderEntry]) -> dict[str, str]:
    """Tensors that share bytes with another one, by name: nobody can say whose they are."""
    found: dict[str, str] = {}
    widest: HeaderEntry | None = None
    for entry in sorted((e for e in entries if e.stop > e.start), key=_span):
        if widest is not None and entry.start < widest.stop:
            found[entry.name] = widest.name
            found.setdefault(widest.name, entry.name)
        if widest is None or entry.stop > widest.stop:
            widest = entry
    return found


def _span(entry: HeaderEntry) -> tuple[int, int]:
    return entry.start, entry.stop


def _holes(entries: list[HeaderEntry], room: int) -> Iterator[tuple[int, int]]:
    end = 0
    for entry in sorted(entries, key=_span):
        if entry.start > end:
            yield end, entry.start
        end = max(end, entry.stop)
    if end < room:
        yield end, room
