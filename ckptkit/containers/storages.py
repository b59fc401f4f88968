"""The storages of one file: from the persistent ids of its pickle to one Storage a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from ckptkit.containers.storage_node import StorageId, StorageNode, parse_storage_id
from ckptkit.errors import CorruptFileError
from ckptkit.nodes import GlobalName, Node, Record, SeqNode, Storage

_OTHER = GlobalName("", "persistent-id")


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
        self._nodes: dict[str, StorageNode] = {}

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
            storage = self.storages[found.key] = self._make(found)
            self._nodes[found.key] = StorageNode(storage, found.dtype, name=found.name)
        elif known[:5] != found[:5]:
            self.refuse(found.key, f"is {_brief(known)} in one place, {_brief(found)} in another")
        return self._nodes[found.key] if found.view is None else self._view(found, found.view)

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


def _brief(found: StorageId) -> str:
    return f"{found.nbytes:#x} bytes of {found.name.text[:80]!a} on {found.location[:40]!a}"
