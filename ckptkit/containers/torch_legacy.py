"""The pickle stack that torch.save wrote from 0.1.10 to 1.5, and still writes on request."""

from __future__ import annotations

from collections.abc import Iterator

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.kept_file import open_kept
from ckptkit.containers.pickle_scan import follow_embedded, scan_tail
from ckptkit.containers.pickle_window import Attempt, PickleWindow
from ckptkit.containers.polyglot import polyglot_notices
from ckptkit.containers.storage_node import StorageId
from ckptkit.containers.storages import StorageTable, nominal_storage
from ckptkit.errors import ContainerError, CorruptFileError, TruncatedFileError
from ckptkit.nodes import MapNode, Node, SeqNode, Storage
from ckptkit.protocols import Check, Opened, OpenFile, Probe, StreamScan
from ckptkit.types import Limits, Notice

# The first pickle of every such file, in protocol 2 as all of them were written.
MAGIC = 0x1950A86A20F9469CFC6C
_MAGIC_BYTES = MAGIC.to_bytes(10, "little")
PROTOCOL = 1001
_STREAMS = ("magic", "protocol", "sys_info", "object", "storage keys")
_MAX_MAGIC_END = 32
_TEXT_MAGIC = f"L{MAGIC}L\n.".encode()  # protocols 0 and 1


class TorchLegacyContainer:
    """Five pickles (magic, protocol, system, object, storage keys), then the storages."""

    name = "torch-legacy"
    title = "PyTorch legacy file (torch.save, 0.1.10 to 1.5)"
    rank = 30

    def matches(self, probe: Probe) -> bool:
        """The magic number within the first pickle, whatever protocol wrote it."""
        head = probe.head[:_MAX_MAGIC_END]
        binary = head[:1] == b"\x80" and (b"\x8a\x0a" + _MAGIC_BYTES) in head
        return not probe.is_dir and (binary or head.startswith(_TEXT_MAGIC))

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:
        """Read the pickles and place every storage; no tensor bytes. Raises: ContainerError."""
        del open_file
        return open_kept(probe, limits, _open)

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow all five pickles, also behind a broken one, and what hides at the end."""
        from ckptkit.containers.zip_scan import scan_other_readings

        with FileBytes(probe.path) as file:
            window = PickleWindow(file, limits)
            table = StorageTable(file.where, _placeholder)
            for stream in _STREAMS:
                resolver = table.persistent if stream == "object" else nominal_storage
                attempt = window.read(stream, resolver)
                yield attempt.scan
                yield from follow_embedded(attempt, limits)
                if attempt.scan.error is not None:
                    yield from scan_tail(file, limits, window.position + 1)
                    break
            else:
                yield from scan_tail(file, limits, _end(file, window, attempt.value, table))
            yield from scan_other_readings(file, "pickle", limits)


def _end(file: FileBytes, window: PickleWindow, keys: Node, table: StorageTable) -> int:
    """Where the last storage ends; where the pickles end if the storages are not in order."""
    try:
        return _place_storages(file, window.position, _keys(file, keys, table), table)[0]
    except ContainerError:
        return window.position


def _open(file: FileBytes, probe: Probe, limits: Limits) -> Opened:
    window = PickleWindow(file, limits)
    attempts: list[Attempt] = []

    def next_value(table: StorageTable | None = None) -> Node:
        stream = _STREAMS[len(attempts)]
        attempts.append(window.read(stream, table.persistent if table else None))
        return attempts[-1].result()

    for expected in (MAGIC, PROTOCOL):
        seen = next_value()
        if type(seen) is not int or seen != expected:
            raise _damaged(file, f"its first pickles are not {MAGIC:#x} and {PROTOCOL}")
    system = next_value()
    if type(system) is not MapNode:
        raise _damaged(file, "its third pickle does not describe a system")
    table = StorageTable(file.where, _placeholder)
    root = next_value(table)
    keys = _keys(file, next_value(), table)
    end, spans = _place_storages(file, window.position, keys, table)
    notices = [*_notices(file, system, end), *polyglot_notices(file, "pickle")]
    return Opened(
        path=probe.path,
        container=TorchLegacyContainer.name,
        nbytes=file.nbytes,
        root=root,
        properties=_properties(system, table),
        scans=tuple(attempt.scan for attempt in attempts),
        notices=tuple(notices),
        checks=lambda: _checks(spans),
        close=file.close,
    )


def _placeholder(found: StorageId) -> Storage:
    """A storage whose bytes are found after the last pickle."""
    return Storage(found.key, found.nbytes, None, found.location)


def _keys(file: FileBytes, node: Node, table: StorageTable) -> list[str]:
    """The list of keys, which must be exactly those that the object used."""
    items = node.items if type(node) is SeqNode else None
    if items is None or any(type(key) is not str for key in items):
        raise _damaged(file, "its list of storage keys is none")
    if len(set(items)) != len(items) or set(items) != set(table.storages):
        raise _damaged(
            file, f"it lists {len(items)} storages, but its tensors use {len(table.storages)}"
        )
    return items


def _place_storages(
    file: FileBytes, position: int, keys: list[str], table: StorageTable
) -> tuple[int, dict[str, tuple[int, int]]]:
    """Give every storage its bytes: an int64 count of elements, then the elements.

    Source: torch/csrc/serialization.cpp, writeFileRaw: counts and elements are little-endian
    whatever machine wrote them.
    """
    spans: dict[str, tuple[int, int]] = {}
    for key in keys:
        found, storage = table.ids[key], table.storages[key]
        count = int.from_bytes(file.read(position, 8), "little", signed=True)
        item = found.dtype.nbytes if found.dtype else 1
        if count * item != storage.nbytes:
            table.refuse(
                key, f"announces {count} elements", f"{storage.nbytes // item}, as its tensors say"
            )
        position += 8
        if position + storage.nbytes > file.nbytes:
            raise TruncatedFileError(
                file.where, f"ends after {file.nbytes} bytes, inside storage {key[:100]!a}",
                f"{position + storage.nbytes} bytes at least",
                "the copy was cut short, so fetch it again",
            )  # fmt: skip
        spans[key] = (position, position + storage.nbytes)
        storage.source = file.part(position, position + storage.nbytes, file.where)
        position += storage.nbytes
    return position, spans


def _notices(file: FileBytes, system: MapNode, end: int) -> Iterator[Notice]:
    where = str(file.where)
    if end != file.nbytes:
        message = f"{file.nbytes - end} bytes follow the last storage"
        yield Notice("warning", "trailing-bytes", message, where)
    if system.get("little_endian") is not True:
        message = "written on a big-endian machine; torch stores such files little-endian as well"
        yield Notice("info", "big-endian-writer", message, where)
    if system.get("protocol_version") != PROTOCOL:
        yield Notice("warning", "odd-system", "its system record names another protocol", where)


def _properties(system: MapNode, table: StorageTable) -> dict[str, Node]:
    sources = [
        (name.text, MapNode({"file": file, "source": text}))
        for name, (file, text) in table.sources.items()
    ]
    found: dict[str, Node] = {"sys_info": system}
    if sources:
        found["class_sources"] = MapNode(sources)
    return found


def _checks(spans: dict[str, tuple[int, int]]) -> Iterator[Check]:
    for key, (start, stop) in spans.items():
        message = "the format has no checksums"
        yield Check(f"storage {key}", stop - start, "unverifiable", "structure", message)


def _damaged(file: FileBytes, seen: str) -> CorruptFileError:
    return CorruptFileError(
        file.where, f"the legacy file contradicts itself: {seen}",
        advice="the file is damaged or was made to mislead",
    )  # fmt: skip
