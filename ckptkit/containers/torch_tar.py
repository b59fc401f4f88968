"""The tar archives that torch.save wrote before 0.1.10."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.geometry import check_view
from ckptkit.containers.kept_file import open_kept
from ckptkit.containers.part_scan import scan_part
from ckptkit.containers.pickle_scan import follow_embedded, scan_row, scan_tail
from ckptkit.containers.pickle_window import Attempt, PickleWindow
from ckptkit.containers.polyglot import polyglot_notices
from ckptkit.containers.storage_node import STORAGE_DTYPES
from ckptkit.containers.tar_index import TarMember, is_tar_header, read_tar_index
from ckptkit.containers.tar_scan import has_member, scan_tar
from ckptkit.errors import ContainerError, CorruptFileError, ForeignFormatError
from ckptkit.nodes import GlobalName, MapNode, Node, Record, SeqNode, Storage, TensorNode
from ckptkit.protocols import Check, Opened, OpenFile, Probe, StreamScan
from ckptkit.types import DTYPES, DType, Limits, Notice

_PICKLES = ("sys_info", "pickle")
_MEMBERS = ("storages", "tensors", "pickle")
_TENSOR_HEAD = Struct("<i4x")  # number of dimensions; four bytes nobody reads
_MAX_COUNT = 1 << 59
_OTHER_ID = GlobalName("", "persistent-id")


class TorchTarContainer:
    """A tar with the members ``sys_info``, ``pickle``, ``tensors`` and ``storages``."""

    name = "torch-tar"
    title = "PyTorch tar file (torch.save before 0.1.10)"
    rank = 40

    def matches(self, probe: Probe) -> bool:
        """Every tar is ours to open: those that hold something else are refused by name."""
        return not probe.is_dir and is_tar_header(probe.head[:512])

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:
        """Read the pickles and place every storage; no tensor bytes. Raises: ContainerError."""
        del open_file
        return open_kept(probe, limits, _open)

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow every pickle of every member, in whatever state the archive is."""
        with FileBytes(probe.path) as file:
            try:
                members = read_tar_index(file, limits)
            except ContainerError as exc:
                if has_member(file, limits, _MEMBERS):
                    yield StreamScan("archive", (), (), exc)
                yield from scan_tar(file, limits)
                return
            if any(name not in members for name in _MEMBERS):
                yield from scan_tar(file, limits)
                return
            for member in members.values():
                part = file.part(member.start, member.stop, file.where)
                yield from _scan_member(part, member.name, limits)
            yield from scan_tail(file, limits, max(member.stop for member in members.values()))


def _scan_member(part: FileBytes, name: str, limits: Limits) -> Iterator[StreamScan]:
    if name not in ("storages", "tensors"):
        is_pickle = name in _PICKLES
        yield from scan_row(part, limits, name) if is_pickle else scan_part(part, name, limits, 1)
        return
    reader = _Reader(part, limits, name)
    try:
        for _ in range(reader.count()):
            attempt = reader.attempt()
            yield from follow_embedded(attempt, limits)
            _ = attempt.result()
            if name == "storages":
                kind = _storage_row(part, attempt.value)[2]
                reader.skip(8 + reader.int64() * kind.nbytes)
            else:
                reader.skip(_TENSOR_HEAD.size + 16 * reader.rank() + 8)
        if name == "storages":
            reader.attempt()
    except ContainerError as exc:
        yield from (attempt.scan for attempt in reader.attempts)
        yield StreamScan(name, (), (), exc)
        yield from scan_row(part.part(reader.position, part.nbytes, part.where), limits, name)
        return
    yield from (attempt.scan for attempt in reader.attempts if attempt.scan.uses)


class _Reader:
    """Walks a member that mixes pickles with raw numbers."""

    def __init__(self, part: FileBytes, limits: Limits, name: str) -> None:
        self._window, self._part, self._name = PickleWindow(part, limits), part, name
        self.attempts: list[Attempt] = []

    @property
    def position(self) -> int:
        """Where the next thing begins."""
        return self._window.position

    def attempt(self) -> Attempt:
        """The next pickle."""
        self.attempts.append(self._window.read(self._name))
        return self.attempts[-1]

    def count(self) -> int:
        """The pickle of a number of things to come. Raises: CorruptFileError."""
        value = self.attempt().result()
        if type(value) is not int or not 0 <= value <= self._part.nbytes:
            raise _damaged(self._part, f"{self._name} does not say how many it holds")
        return value

    def int64(self) -> int:
        """The number at the position, which stays. Raises: CorruptFileError."""
        value = int.from_bytes(self._part.read(self.position, 8), "little", signed=True)
        if not 0 <= value < _MAX_COUNT:
            raise _damaged(self._part, f"{self._name} has a length that is none")
        return value

    def rank(self) -> int:
        """The number of dimensions at the position, which stays. Raises: CorruptFileError."""
        (rank,) = _TENSOR_HEAD.unpack(self._part.read(self.position, _TENSOR_HEAD.size))
        if not 0 <= rank <= 1024:
            raise _damaged(self._part, f"a tensor of {rank} dimensions")
        return int(rank)

    def int64s(self, start: int, count: int) -> list[int]:
        """Numbers at an offset of the member."""
        return list(Struct(f"<{count}q").unpack(self._part.read(start, 8 * count)))

    def skip(self, nbytes: int) -> None:
        """Go on. Raises: CorruptFileError beyond the end."""
        if self.position + nbytes > self._part.nbytes:
            raise _damaged(self._part, f"{self._name} ends inside its data")
        self._window.position += nbytes


class _Parts(NamedTuple):
    storages: dict[int | str, tuple[Storage, DType, int, int]]  # storage, dtype, start, bytes
    tensors: dict[str, Node]


def _open(file: FileBytes, probe: Probe, limits: Limits) -> Opened:
    members = read_tar_index(file, limits)
    if any(name not in members for name in _MEMBERS):
        raise ForeignFormatError(
            file.where, f"is a tar archive of {len(members)} files", "a PyTorch checkpoint",
            "unpack it: the checkpoint may be inside",
        )  # fmt: skip
    readers = {name: _Reader(_part(file, members[name]), limits, name) for name in _MEMBERS}
    storages = _read_storages(file, members["storages"], readers["storages"])
    tensors = _read_tensors(file, members["tensors"], readers["tensors"], storages)
    window = PickleWindow(_part(file, members["pickle"]), limits)
    sources: dict[str, Node] = {}
    attempt = window.read("pickle", lambda pid: _resolve(file, pid, tensors, sources))
    root = attempt.result()
    attempts = [*readers["storages"].attempts, *readers["tensors"].attempts, attempt]
    return Opened(
        path=probe.path,
        container=TorchTarContainer.name,
        nbytes=file.nbytes,
        root=root,
        properties={"class_sources": MapNode(sources)} if sources else {},
        scans=tuple(attempt.scan for attempt in attempts if attempt.scan.uses),
        notices=(*_notices(file, members), *polyglot_notices(file, "tar")),
        checks=lambda: _checks(storages),
        close=file.close,
    )


def _part(file: FileBytes, member: TarMember) -> FileBytes:
    return file.part(member.start, member.stop, f"{file.where}: {member.name}")


def _read_storages(
    file: FileBytes, member: TarMember, reader: _Reader
) -> dict[int | str, tuple[Storage, DType, int, int]]:
    """Every storage by its key, then the views of storages.

    Source: torch.serialization._legacy_load, legacy_load.
    """
    found: dict[int | str, tuple[Storage, DType, int, int]] = {}
    for _ in range(reader.count()):
        key, location, dtype = _storage_row(file, reader.attempt().result())
        nbytes = reader.int64() * dtype.nbytes
        start = member.start + reader.position + 8
        reader.skip(8 + nbytes)
        if key in found:
            raise _damaged(file, f"two storages have the key {key!a}")
        source = file.part(start, start + nbytes, file.where)
        found[key] = (Storage(str(key), nbytes, source, location), dtype, 0, nbytes)
    for target, whole, offset, numel in _views(file, reader.attempt().result()):
        if whole not in found or target in found:
            raise _damaged(file, "a view of a storage that is not there")
        storage, dtype, base, room = found[whole]
        if (offset + numel) * dtype.nbytes > room:
            raise _damaged(file, "a view that leaves its storage")
        found[target] = (storage, dtype, base + offset * dtype.nbytes, numel * dtype.nbytes)
    return found


def _storage_row(file: FileBytes, row: Node) -> tuple[int | str, str, DType]:
    parts = row.items if type(row) is SeqNode else []
    if len(parts) != 3 or type(parts[0]) not in (int, str) or type(parts[1]) is not str:
        raise _damaged(file, "a storage without key, location or type")
    name = parts[2]
    known = type(name) is GlobalName and (name.module, name.qualname) in STORAGE_DTYPES
    if not known:
        raise _damaged(file, "a storage of an unknown type")
    return parts[0], parts[1], STORAGE_DTYPES[name.module, name.qualname] or DTYPES["uint8"]


def _views(file: FileBytes, node: Node) -> Iterator[tuple[int | str, int | str, int, int]]:
    for row in node.items if type(node) is SeqNode else []:
        parts = row.items if type(row) is SeqNode else []
        counts = parts[2:]
        if len(parts) != 4 or any(type(n) is not int or not 0 <= n < _MAX_COUNT for n in counts):
            raise _damaged(file, "a storage view that is none")
        if any(type(key) not in (int, str) for key in parts[:2]):
            raise _damaged(file, "a storage view without keys")
        yield parts[0], parts[1], parts[2], parts[3]


def _read_tensors(
    file: FileBytes,
    member: TarMember,
    reader: _Reader,
    storages: dict[int | str, tuple[Storage, DType, int, int]],
) -> dict[str, TensorNode]:
    tensors: dict[str, TensorNode] = {}
    for _ in range(reader.count()):
        row = reader.attempt().result()
        parts = row.items if type(row) is SeqNode else []
        if len(parts) != 3 or any(type(key) not in (int, str) for key in parts[:2]):
            raise _damaged(file, "a tensor without keys")
        if parts[1] not in storages:
            raise _damaged(file, f"a tensor of the unknown storage {str(parts[1])[:40]!a}")
        rank, start = reader.rank(), reader.position + _TENSOR_HEAD.size
        reader.skip(_TENSOR_HEAD.size + 16 * rank + 8)
        numbers = reader.int64s(start, 2 * rank + 1)
        shape, strides, offset = numbers[:rank], numbers[rank : 2 * rank], numbers[-1]
        storage, dtype, base, room = storages[parts[1]]
        check_view(dtype, offset, shape, strides, room, f"{file.where}: {member.name}")
        if str(parts[0]) in tensors:
            raise _damaged(file, f"two tensors have the key {str(parts[0])[:40]!a}")
        tensors[str(parts[0])] = TensorNode(
            dtype=dtype, shape=tuple(shape), strides=tuple(strides),
            offset=offset + base // dtype.nbytes, storage=storage,
        )  # fmt: skip
    return tensors


def _resolve(
    file: FileBytes, pid: Node, tensors: dict[str, TensorNode], sources: dict[str, Node]
) -> Node:
    """A tensor by its key, or the class of a (class, file, source)."""
    if type(pid) is SeqNode and len(pid.items) == 3 and type(pid.items[0]) is GlobalName:
        name, source_file, text = pid.items
        sources[name.text] = MapNode({"file": source_file, "source": text})
        return name
    if type(pid) in (int, str):
        tensor = tensors.get(str(pid)) if type(pid) is str or pid.bit_length() < 65 else None
        if tensor is None:
            raise _damaged(file, "the object names a tensor that is not there")
        return tensor
    return Record(_OTHER_ID, "persistent", (pid,))


def _notices(file: FileBytes, members: dict[str, TarMember]) -> Iterator[Notice]:
    extra = [name for name in members if name not in (*_MEMBERS, "sys_info")]
    if extra:
        message = f"{len(extra)} members are no part of the checkpoint, such as {extra[0][:100]!a}"
        yield Notice("warning", "extra-entries", message, str(file.where))


def _checks(storages: dict[int | str, tuple[Storage, DType, int, int]]) -> Iterator[Check]:
    for key, (storage, _, start, nbytes) in storages.items():
        if start == 0 and nbytes == storage.nbytes:
            message = "the format has no checksums"
            yield Check(f"storage {key}", nbytes, "unverifiable", "structure", message)


def _damaged(file: FileBytes, seen: str) -> CorruptFileError:
    return CorruptFileError(
        file.where, f"the tar file contradicts itself: {seen}",
        advice="the file is damaged or was made to mislead",
    )  # fmt: skip
