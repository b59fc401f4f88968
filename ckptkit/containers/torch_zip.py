"""PyTorch zip files: what torch.save has written since 1.6."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckptkit.containers.gc_pause import paused_gc
from ckptkit.containers.pickle_vm import read_pickle
from ckptkit.containers.storage_node import StorageId
from ckptkit.containers.storage_users import named, storage_users
from ckptkit.containers.storages import StorageTable
from ckptkit.containers.trace import Tracer
from ckptkit.containers.zip_archive import PICKLE_NAME, ZipArchive
from ckptkit.containers.zip_index import LOCAL_MARK, ZipEntry
from ckptkit.errors import CorruptFileError, TruncatedFileError
from ckptkit.nodes import Node, Storage
from ckptkit.protocols import Opened, OpenFile, Probe, StreamScan
from ckptkit.types import Limits, Notice


class TorchZipContainer:
    """An archive with one ``data.pkl`` and a record for every storage."""

    name = "torch-zip"
    title = "PyTorch zip file (torch.save, 1.6 and later)"
    rank = 20

    def matches(self, probe: Probe) -> bool:
        """Every zip is ours to open: those that hold something else are refused by name."""
        return not probe.is_dir and probe.head.startswith(LOCAL_MARK)

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:
        """Read directory and pickle; tensors stay where they are. Raises: ContainerError."""
        from ckptkit.containers.zip_family import open_zip

        del open_file
        return open_zip(probe, limits)

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow every pickle of the archive, also those that torch would not read."""
        from ckptkit.containers.zip_scan import scan_zip

        return scan_zip(probe, limits)


class PickledRecord(NamedTuple):
    """One pickle of an archive as a tree, with its scan and the storages it named."""

    value: Node
    scan: StreamScan
    table: StorageTable


def open_torch_zip(archive: ZipArchive, probe: Probe) -> Opened:
    """The tree of an archive that torch.save wrote.

    Raises: ContainerError.
    """
    with paused_gc():
        content = read_record(archive, PICKLE_NAME, "data/")
    name_users(archive, content.value, [("data/", content.table)])
    notices = [*archive.notices, *unread_notices(archive, {"data/": content.table})]
    return Opened(
        path=probe.path,
        container=TorchZipContainer.name,
        nbytes=archive.file.nbytes,
        root=content.value,
        properties=archive_properties(archive),
        scans=(content.scan,),
        notices=tuple(notices),
        checks=archive.checks,
        close=archive.file.close,
    )


def read_record(archive: ZipArchive, name: str, folder: str) -> PickledRecord:
    """Read one pickle whose storages are the records of ``folder``.

    Raises: ContainerError.
    """
    data = archive.read(name)
    byteorder = archive.byteorder()

    def make(pid: StorageId) -> Storage:
        return _storage(archive, folder, pid, byteorder, table)

    table = StorageTable(archive.file.where, make)
    tracer = Tracer(archive.root + name)
    result = read_pickle(
        data, stream=archive.root + name, tracer=tracer, limits=archive.limits,
        persistent=table.persistent, nodes_for=archive.file.nbytes,
    )  # fmt: skip
    if result.stop != len(data):
        message = f"{len(data) - result.stop} bytes follow the end of the pickle"
        tracer.notice("warning", "trailing-bytes", message)
    return PickledRecord(result.value, tracer.scan(), table)


def _storage(
    archive: ZipArchive, folder: str, pid: StorageId, byteorder: str, table: StorageTable
) -> Storage:
    entry = archive.entry(folder + pid.key)
    if entry is None:
        table.refuse(pid.key, "has no record in the archive", f"{archive.root}{folder}{pid.key}")
    if entry.usize < pid.nbytes:
        raise TruncatedFileError(
            archive.file.where,
            f"the record {entry.name!a} has {entry.usize} bytes",
            f"{pid.nbytes:#x}, as its tensors say",
            "the file is damaged or was made to mislead",
        )
    if entry.usize > pid.nbytes:
        message = f"the record {entry.name!a} has {entry.usize} bytes, {pid.nbytes} are used"
        archive.notices.append(Notice("warning", "long-storage", message, str(archive.file.where)))
    return Storage(pid.key, pid.nbytes, archive.source(entry), pid.location, byteorder)


def name_users(archive: ZipArchive, root: Node, tables: list[tuple[str, StorageTable]]) -> None:
    """Let damaged entries be called by the tensors in them; the tree is walked only then."""
    cache: dict[str, str] = {}

    def find(entry: ZipEntry) -> str:
        if not cache:
            by_storage = storage_users(root)
            cache[""] = ""
            for folder, table in tables:
                for key, storage in table.storages.items():
                    cache[archive.root + folder + key] = named(by_storage.get(id(storage)))
        return cache.get(entry.name, "")

    archive.users = find


def unread_notices(
    archive: ZipArchive, tables: Mapping[str, StorageTable], known: tuple[str, ...] = ()
) -> Iterator[Notice]:
    """Say what of the archive is in no tree, so that nothing is dropped in silence.

    ``known`` are the beginnings of records that have their place.
    """
    used = {
        archive.root + folder + key for folder, table in tables.items() for key in table.storages
    }
    folders = tuple(archive.root + folder for folder in tables)
    expected = (
        *(archive.root + name for name in ("data.pkl", "version", "byteorder", ".format_version")),
        *(archive.root + name for name in (".storage_alignment", ".data/", *known)),
    )
    storages = extras = nbytes = 0
    first = ""
    for name, entry in archive.entries.items():
        if name in used or name.endswith("/"):
            continue
        if name.startswith(folders):
            storages, nbytes = storages + 1, nbytes + entry.usize
        elif not name.startswith(expected):
            extras, first = extras + 1, first or name
    where = str(archive.file.where)
    if storages:
        message = f"{storages} records ({nbytes} bytes) belong to no tensor"
        yield Notice("warning", "unreferenced-storages", message, where)
    if extras:
        message = f"{extras} entries are no part of the checkpoint, such as {first[:100]!a}"
        yield Notice("warning", "extra-entries", message, where)


def archive_properties(archive: ZipArchive) -> dict[str, Node]:
    """What the small records say, as text."""
    found: dict[str, Node] = {"root": archive.root.rstrip("/"), "entries": len(archive.entries)}
    found["byteorder"] = archive.byteorder()
    for name in ("version", ".format_version", ".storage_alignment", ".data/serialization_id"):
        content = archive.small(name)
        if content is not None:
            found[name.removeprefix(".data/").lstrip(".")] = content.decode(
                "ascii", "replace"
            ).strip()
    return found


def missing_pickle(archive: ZipArchive) -> CorruptFileError:
    """The refusal of a zip that holds no object."""
    return CorruptFileError(
        archive.file.where, f"the zip archive has {len(archive.entries)} entries, but no data.pkl",
        "an archive that torch.save wrote", "unpack it: the checkpoint may be inside",
    )  # fmt: skip
