"""The storages of one file: from the persistent ids of its pickle to one Storage a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from ckptkit.containers.storage_node import StorageId, StorageNode, parse_storage_id
from ckptkit.errors import ContainerError, CorruptFileError
from ckptkit.nodes import GlobalName, Node, Record, SeqNode, Storage

_OTHER = GlobalName("", "persistent-id")


def nominal_storage(pid: Node) -> Node:
    """A storage that is only its own description: what a scan follows tensors with.

    An id that is none, or none that torch writes, becomes a Record: a scan refuses nothing.
    """
    try:
        found = parse_storage_id(pid, "scan")
    except ContainerError:
        found = None
    if found is None:
        return Record(_OTHER, "persistent", (pid,))
    storage = Storage(found.key, found.nbytes, None, found.location)
    return StorageNode(storage, found.dtype, name=found.name)


class StorageTable:
    """Every storage that a pickle names, made once; ``persistent`` is what its reader calls.

    ``make`` turns the first id of a key into a Storage, and may refuse it. ``views`` are the
    windows of legacy files (key of the view -> its id), which must always be the same;
    ``sources`` the (file, text) of classes whose source a legacy file carries, as data.
    """

    def __init__(self, where: object, make: Callable[[StorageId], Storage]) -> None:
        self.where, self._make = where, make
        self.ids: dict[str, StorageId] = {}
        self.storages: dict[str, Storage] = {}
        self.views: dict[str, StorageId] = {}
        self.sources: dict[GlobalName, tuple[Node, Node]] = {}
        self._nodes: dict[tuple[str, GlobalName], StorageNode] = {}

    def persistent(self, pid: Node) -> Node:
        """A StorageNode for a storage; an id of any other kind stays an inert Record.

        Raises: CorruptFileError if an id contradicts an earlier one of the same key.
        """
        found = parse_storage_id(pid, self.where)
        if found is None:
            return self._other_id(pid)
        known = self.ids.get(found.key)
        if known is None:
            self.ids[found.key] = found
            self.storages[found.key] = self._make(found)
        elif not _agree(known, found):
            self.refuse(found.key, f"is {_brief(known)} in one place, {_brief(found)} in another")
        if found.view is not None:
            return self._view(found, found.view)
        node = self._nodes.get((found.key, found.name))
        if node is None:
            node = StorageNode(self.storages[found.key], found.dtype, name=found.name)
            self._nodes[found.key, found.name] = node
        return node

    def _other_id(self, pid: Node) -> Node:
        """The class of a ('module', class, file, source); anything else as a label."""
        items = pid.items if type(pid) is SeqNode and pid.kind == "tuple" else []
        if len(items) == 4 and items[0] == "module" and type(items[1]) is GlobalName:
            self.sources[items[1]] = (items[2], items[3])
            return items[1]
        return Record(_OTHER, "persistent", (pid,))

    def refuse(self, key: str, seen: str, expected: str = "") -> NoReturn:
        """Give up on the file because of one storage."""
        raise CorruptFileError(
            self.where, f"storage {key[:100]!a} {seen}", expected,
            "the file is damaged or was made to mislead",
        )  # fmt: skip

    def _view(self, whole: StorageId, view: tuple[str, int, int]) -> StorageNode:
        key, offset, numel = view
        if self.views.setdefault(key, whole) != whole:
            self.refuse(key, "is a view of two kinds")
        item = whole.dtype.nbytes if whole.dtype else 1
        if (offset + numel) * item > whole.nbytes:
            self.refuse(whole.key, f"has a view up to element {offset + numel:#x}", _brief(whole))
        return StorageNode(
            self.storages[whole.key], whole.dtype, offset * item, numel * item, whole.name
        )


def _agree(known: StorageId, found: StorageId) -> bool:
    """Whether both speak of the same bytes; torch saves a bare storage as untyped (dtype None)."""
    same_bytes = known.nbytes == found.nbytes and known.location == found.location
    return same_bytes and (known.dtype is found.dtype or None in (known.dtype, found.dtype))


def _brief(found: StorageId) -> str:
    return f"{found.nbytes:#x} bytes of {found.name.text[:80]!a} on {found.location[:40]!a}"
