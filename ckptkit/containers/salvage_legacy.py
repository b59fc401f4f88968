"""What a cut or damaged legacy file still holds: every storage that lies in it whole."""

from __future__ import annotations

from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.gc_pause import paused_gc
from ckptkit.containers.pickle_window import PickleWindow
from ckptkit.containers.salvage import Findings
from ckptkit.containers.storage_node import StorageId
from ckptkit.containers.storages import StorageTable
from ckptkit.errors import CorruptFileError
from ckptkit.nodes import Node, SeqNode, Storage
from ckptkit.protocols import Opened
from ckptkit.types import Limits

_FRONT = ("magic", "protocol", "sys_info")
_COUNT_NBYTES = 8


def salvage_legacy(path: FilePath, limits: Limits, findings: Findings) -> Opened:
    """Open a stack of pickles and give each storage its bytes as far as the file goes.

    The format has no checksums: what is there is taken for what was written.
    Raises: ContainerError if one of the pickles, which all come first, is cut or broken.
    """
    file = FileBytes(path)
    try:
        with paused_gc():
            window = PickleWindow(file, limits)
            for stream in _FRONT:
                window.read(stream).result()
            table = StorageTable(file.where, _placeholder)
            root = window.read("object", table.persistent).result()
            keys = _keys(file, window.read("storage keys").result(), table, findings)
            _Placer(file, table, findings).place(window.position, keys)
    except BaseException:
        file.close()
        raise
    return Opened(
        path=path, container="torch-legacy", nbytes=file.nbytes, root=root, close=file.close
    )


def _placeholder(found: StorageId) -> Storage:
    return Storage(found.key, found.nbytes, None, found.location)


def _keys(file: FileBytes, node: Node, table: StorageTable, findings: Findings) -> list[str]:
    """The order of the storages; a key that was damaged is the one that is missing.

    Source: torch.serialization._legacy_save writes them sorted.
    """
    items = node.items if type(node) is SeqNode else []
    known = [key if type(key) is str and key in table.storages else None for key in items]
    missing = sorted(set(table.storages) - set(known))
    if None in known and known.count(None) == len(missing):
        findings.guess("its list of storage keys is damaged; what it lacks stands in its gaps")
        rest = iter(missing)
        known = [next(rest) if key is None else key for key in known]
    found = [key for key in known if key is not None]
    if len(found) != len(items) or set(found) != set(table.storages):
        raise CorruptFileError(
            file.where, f"it lists {len(items)} storages, its tensors use {len(table.storages)}",
            "a key for each storage", "use an older checkpoint",
        )  # fmt: skip
    return found


class _Placer:
    """Walks the storages: a count of elements, then the elements, one after the other."""

    def __init__(self, file: FileBytes, table: StorageTable, findings: Findings) -> None:
        self._file, self._table, self._findings = file, table, findings

    def place(self, position: int, keys: list[str]) -> None:
        """Give every storage its bytes, or the reason why it has none."""
        for number, key in enumerate(keys):
            nbytes = self._nbytes(position, key, keys[number + 1 :][:1])
            if nbytes is None:
                for lost in keys[number:]:
                    self._lose(lost, f"nobody can say where it begins: storage {key!a} before it "
                               "announces another size than its tensors")  # fmt: skip
                return
            start = position + _COUNT_NBYTES
            self._give(key, start, nbytes)
            position = start + nbytes
        if position < self._file.nbytes:
            left = self._file.nbytes - position
            self._findings.guess(f"{left} bytes follow the last storage and were left alone")

    def _nbytes(self, position: int, key: str, following: list[str]) -> int | None:
        """How long the storage at ``position`` is; where two say differently, what fits behind."""
        wanted = self._table.storages[key].nbytes
        told = self._told(position, key)
        if told is None or told == wanted:
            return wanted
        if not following:
            return wanted
        for nbytes in (wanted, told):
            after = self._told(position + _COUNT_NBYTES + nbytes, following[0])
            if after == self._table.storages[following[0]].nbytes:
                self._findings.guess(f"storage {key!a} announces {told} bytes, {nbytes} fit")
                return nbytes
        return None

    def _told(self, position: int, key: str) -> int | None:
        """The size that is announced at ``position``; None beyond the end of the file."""
        if position + _COUNT_NBYTES > self._file.nbytes:
            return None
        count = int.from_bytes(self._file.read(position, _COUNT_NBYTES), "little", signed=True)
        dtype = self._table.ids[key].dtype
        return count * (dtype.nbytes if dtype else 1)

    def _give(self, key: str, start: int, nbytes: int) -> None:
        storage = self._table.storages[key]
        missing = start + storage.nbytes - self._file.nbytes
        if missing > 0 and storage.nbytes:
            self._lose(key, f"the file ends {missing:,} bytes before the end of this tensor")
        elif nbytes < storage.nbytes:
            self._lose(key, f"only {nbytes} of its {storage.nbytes} bytes are there")
        else:
            start = min(start, self._file.nbytes)
            storage.source = self._file.part(start, start + storage.nbytes, self._file.where)

    def _lose(self, key: str, reason: str) -> None:
        self._findings.lose(self._table.storages[key], reason)
