"""A zip that torch wrote, before anybody reads its pickle: root, small records, usable CRCs."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.zip_entry import EntryBytes, read_entry
from ckptkit.containers.zip_index import ZipEntry, read_zip_index
from ckptkit.errors import ChecksumError, ContainerError, CorruptFileError
from ckptkit.protocols import Check
from ckptkit.types import Limits, Notice

PICKLE_NAME = "data.pkl"
_SMALL_NBYTES = 4096
_SMALL_NAMES = (
    "version", "byteorder", ".format_version", ".storage_alignment", ".data/version",
    ".data/serialization_id", "archive_format", "archive_version",
)  # fmt: skip
# torch 2.13 reads versions 1 to 10 (caffe2/serialize/versions.h) and writes 3.
_OLDEST_VERSION, _NEWEST_VERSION = 1, 10


class ZipArchive:
    """The records of one archive, by their names below its root folder.

    ``users`` names the tensors of an entry, for messages; it is set once the tree is known.
    """

    def __init__(self, file: FileBytes, limits: Limits) -> None:
        self.file, self.limits = file, limits
        self.index = read_zip_index(file, limits)
        self.entries = self.index.entries
        self.notices = list(self.index.notices)
        self.root = self._find_root()
        self.users: Callable[[ZipEntry], str] | None = None
        self.has_crcs = True
        self._small = self._read_small()
        self._check_version()

    def entry(self, name: str) -> ZipEntry | None:
        """The entry of a record, ``name`` being relative to the root."""
        return self.entries.get(self.root + name)

    def read(self, name: str) -> bytes:
        """A whole record that has to be in memory.

        Raises: CorruptFileError if it is missing; ChecksumError; LimitExceededError.
        """
        if name in self._small:
            return self._small[name]
        entry = self.entry(name)
        if entry is None:
            raise CorruptFileError(self.file.where, f"the archive has no record {name!a}")
        return read_entry(self.index, entry, self.limits, check=self.has_crcs)

    def small(self, name: str) -> bytes | None:
        """A small record, or None where the archive has none of this name."""
        return self._small.get(name)

    def source(self, entry: ZipEntry) -> EntryBytes:
        """The bytes of an entry, read and checked only on request."""
        return EntryBytes(self.file, entry, self._name_users, self.has_crcs)

    def byteorder(self) -> str:
        """How the elements of its storages are laid out.

        Raises: CorruptFileError for anything but the two words that torch writes.
        """
        stored = self._small.get("byteorder", b"little")
        if stored not in (b"little", b"big"):
            raise CorruptFileError(
                self.file.where, f"the record byteorder holds {stored[:40]!a}", "little or big"
            )
        return stored.decode()

    def checks(self) -> Iterator[Check]:
        """Read every entry to its end; one Check each."""
        for entry in self.entries.values():
            source = self.source(entry)
            by, sound = ("crc32", "ok") if self.has_crcs else ("structure", "unverifiable")
            message = "" if self.has_crcs else "written without usable CRCs"
            try:
                _read_through(source)
            except ContainerError as exc:
                by = "crc32" if isinstance(exc, ChecksumError) else "structure"
                sound, message = "damaged", str(exc)
            yield Check(entry.name, entry.usize, sound, by, message)

    def _name_users(self, entry: ZipEntry) -> str:
        return self.users(entry) if self.users else ""

    def _find_root(self) -> str:
        """The folder that holds data.pkl, with its slash; "" for an archive without one.

        Raises: CorruptFileError if several do: readers would not agree on the object.
        """
        found = [name for name in self.entries if name.rpartition("/")[2] == PICKLE_NAME]
        shallow = [name for name in found if name.count("/") == 1] or found
        if len(shallow) > 1:
            raise CorruptFileError(
                self.file.where, f"{len(shallow)} objects claim to be the checkpoint: "
                f"{', '.join(ascii(name[:80]) for name in shallow[:4])}",
                "one data.pkl", "do not use this file",
            )  # fmt: skip
        if shallow:
            return shallow[0].removesuffix(PICKLE_NAME)
        first = next(iter(self.entries), "")
        return first[: first.find("/") + 1]

    def _read_small(self) -> dict[str, bytes]:
        """The small records and data.pkl, and whether their CRCs mean anything.

        Source: torch.serialization.set_crc32_options(False) writes zeros for all of them.
        """
        content: dict[str, bytes] = {}
        wrong: list[ZipEntry] = []
        for name in (*_SMALL_NAMES, PICKLE_NAME):
            entry = self.entry(name)
            if entry is None or (entry.usize > _SMALL_NBYTES and name != PICKLE_NAME):
                continue
            content[name] = read_entry(self.index, entry, self.limits, check=False)
            if zlib.crc32(content[name]) != entry.crc:
                wrong.append(entry)
        if wrong and len(wrong) == len(content) and len(wrong) > 1:
            self.has_crcs = False
            message = "no CRC-32 in this archive is true: it was saved without, so damage hides"
            self.notices.append(Notice("warning", "no-crc", message, str(self.file.where)))
        elif wrong:
            raise ChecksumError(
                self.file.where,
                f"the entry {wrong[0].name!a} does not have the CRC-32 recorded for it",
                f"{wrong[0].crc:#010x}",
                "the file is damaged: fetch it again, or use another checkpoint",
            )
        return content

    def _check_version(self) -> None:
        stored = self._small.get("version", self._small.get(".data/version"))
        if stored is None:
            return
        text = stored.strip()
        if not text.isdigit() or not _OLDEST_VERSION <= int(text[:9]) <= _NEWEST_VERSION:
            raise CorruptFileError(
                self.file.where, f"the archive says that it is of version {stored[:40]!a}",
                f"{_OLDEST_VERSION} to {_NEWEST_VERSION}",
            )  # fmt: skip


def _read_through(source: EntryBytes) -> None:
    buffer = memoryview(bytearray(min(1 << 20, source.nbytes)))
    for start in range(0, max(1, source.nbytes), 1 << 20):
        source.read_into(start, buffer[: min(1 << 20, source.nbytes - start)])
