"""What a cut or damaged torch zip still holds: every tensor whose record is whole."""

from __future__ import annotations

from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes, MemoryBytes
from ckptkit.containers.gc_pause import paused_gc
from ckptkit.containers.salvage import RAW_KEY, Findings, Gone
from ckptkit.containers.storage_node import StorageId
from ckptkit.containers.storages import StorageTable
from ckptkit.containers.zip_archive import PICKLE_NAME
from ckptkit.containers.zip_pickle import FoundPickle, find_pickle
from ckptkit.containers.zip_records import RecordBook, Wanted
from ckptkit.errors import CorruptFileError
from ckptkit.nodes import ByteSource, MapNode, Node, Storage, TensorNode
from ckptkit.protocols import Opened
from ckptkit.types import DTYPES, Limits

_FOLDER = "data/"


def salvage_zip(path: FilePath, limits: Limits, findings: Findings) -> Opened:
    """Open an archive by its directory, its local headers and its checksums, whatever is left.

    Records that a broken pickle does not name any more are ``findings.raw``.
    Raises: ContainerError if not even a part of the pickle, nor a whole record, is left.
    """
    file = FileBytes(path)
    try:
        with paused_gc():
            return _Salvage(file, limits, findings).opened(path)
    except BaseException:
        file.close()
        raise


class _Salvage:
    def __init__(self, file: FileBytes, limits: Limits, findings: Findings) -> None:
        self.file, self.limits, self.findings = file, limits, findings
        self.book = RecordBook(file, limits, findings.advance)
        self.byteorder = "little"
        self.table = StorageTable(file.where, self._make)

    def opened(self, path: FilePath) -> Opened:
        """Read what is left. Raises: ContainerError."""
        pickle = find_pickle(self.book, self.limits)
        self.book.choose_root(pickle.root)
        self.byteorder = self._byteorder()
        value = pickle.read(self.table.persistent, self.limits, self.file.nbytes)
        self._tell(pickle)
        raw: dict[str, TensorNode] = {}
        wanted = self._wanted()
        if not pickle.is_proved or value is None:
            wanted += self._unnamed()
        self._settle(wanted, raw)
        if value is None and not raw:
            raise pickle.error or _nothing(self.file)
        if raw:
            self.findings.raw[path.name] = raw
        properties: dict[str, Node] = {
            "root": self.book.root.rstrip("/"), "byteorder": self.byteorder,
        }  # fmt: skip
        return Opened(
            path=path, container="torch-zip", nbytes=self.file.nbytes,
            root=MapNode() if value is None else value, properties=properties,
            close=self.file.close,
        )  # fmt: skip

    def _make(self, pid: StorageId) -> Storage:
        """A storage whose bytes are looked for once the pickle is read."""
        source = None if pid.nbytes else MemoryBytes(b"")
        return Storage(pid.key, pid.nbytes, source, pid.location, self.byteorder)

    def _byteorder(self) -> str:
        found = self.book.small("byteorder")
        if found in (None, b"little", b"big"):
            return "little" if found is None else found.decode()
        self.findings.guess("the record byteorder is damaged; little-endian is assumed")
        return "little"

    def _tell(self, pickle: FoundPickle) -> None:
        """Say what of the pickle is not certain."""
        if not self.book.prover.has_crcs:
            self.findings.guess("the archive was saved without checksums: damage cannot be seen")
        elif not pickle.is_proved and pickle.error is None:
            self.findings.guess(
                f"{PICKLE_NAME} does not have its CRC-32: every name, shape and plain value is as "
                "it says now, and some may be wrong; the bytes of the tensors are proved apart"
            )
        if pickle.error is not None:
            self.findings.guess(
                f"{PICKLE_NAME} breaks off ({pickle.error.seen}): what it named until then is "
                f"kept, and records without a name are raw bytes in extra/{RAW_KEY}"
            )
            told = f"the rest of {PICKLE_NAME}"
            self.findings.gone.append(Gone(told, None, "", f"{pickle.error.seen}"))

    def _wanted(self) -> list[Wanted]:
        return [
            Wanted(_FOLDER + key, storage.nbytes, storage)
            for key, storage in self.table.storages.items()
            if storage.nbytes
        ]

    def _unnamed(self) -> list[Wanted]:
        """Records that look like storages, and that nothing names."""
        known = {_FOLDER + key for key in self.table.storages}
        return [
            Wanted(name, 0, None)
            for name in self.book.names()
            if name.startswith(_FOLDER) and name[len(_FOLDER) :].isdigit() and name not in known
        ]

    def _settle(self, wanted: list[Wanted], raw: dict[str, TensorNode]) -> None:
        """Give every storage its bytes, or the reason why it has none."""
        for want, outcome in self.book.settle(wanted):
            storage = want.storage
            if outcome.note:
                self.findings.guess(f"record {want.name}: {outcome.note}")
            if storage is None:
                if outcome.source is not None:
                    raw[want.name[len(_FOLDER) :]] = _flat(want.name, outcome.source)
                else:
                    self.findings.gone.append(Gone(want.name, None, "", outcome.reason))
            elif outcome.source is None:
                self.findings.lose(storage, outcome.reason)
            else:
                storage.source = outcome.source
                self.findings.keep(storage)


def _flat(name: str, source: ByteSource) -> TensorNode:
    """The bytes of a record as one tensor of bytes."""
    storage = Storage(name, source.nbytes, source)
    return TensorNode(
        dtype=DTYPES["uint8"], shape=(storage.nbytes,), strides=(1,), offset=0, storage=storage
    )


def _nothing(file: FileBytes) -> CorruptFileError:
    return CorruptFileError(
        file.where, f"no {PICKLE_NAME} and no whole record is left in it",
        "the front of an archive that torch.save wrote", "use an older checkpoint",
    )  # fmt: skip
