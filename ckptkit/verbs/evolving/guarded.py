"""Tensors of a sealed checkpoint that are read for others: checked before their first byte counts.

A tensor that is copied whole has its digest checked on the way. One that is cut or joined has no
digest as such, so what it is made of is checked first: damage must not be passed on as sound.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ckptkit.errors import ChecksumError
from ckptkit.nodes import ByteSource, MapNode, TensorNode
from ckptkit.storage.digest import digest_of
from ckptkit.tree import resolve, walk
from ckptkit.verbs.sealed import Sealed
from ckptkit.verbs.section_migration import Round


class GuardedBytes:
    """The bytes of a stored tensor, handed out only if they have the digest of the manifest."""

    __slots__ = ("_checked", "_digest", "_lock", "_source", "_where", "nbytes")

    def __init__(self, source: ByteSource, digest: bytes, where: str) -> None:
        self._source, self._digest, self._where = source, digest, where
        self.nbytes = source.nbytes
        self._lock = threading.Lock()
        self._checked = False

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` from ``offset`` on. Raises: ChecksumError if any byte of it is damaged."""
        with self._lock:
            if not self._checked:
                if digest_of(self._source) != self._digest:
                    raise ChecksumError(
                        self._where, "the bytes do not have the digest that was sealed with them",
                        "what was written", "`ckptkit verify` lists all damage; use another copy",
                    )  # fmt: skip
                self._checked = True
        self._source.read_into(offset, out)


def guard_all(sealed: Sealed) -> None:
    """Check every tensor before it is read."""
    _guard(sealed, (leaf for leaf in sealed.leaves if isinstance(leaf, TensorNode)))


def guard_consumed(sealed: Sealed, document: MapNode, rounds: Iterable[Round]) -> None:
    """Check those tensors of which others are made."""
    consumed: list[TensorNode] = []
    for after, gone in rounds:
        for one in gone:
            try:
                node = None if one.exact else resolve(document, one.source)
            except KeyError:  # a place that only some documents have
                continue
            consumed += [leaf for _, leaf in walk(node) if isinstance(leaf, TensorNode)]
        document = after
    _guard(sealed, consumed)


def _guard(sealed: Sealed, leaves: Iterable[TensorNode]) -> None:
    rows = {id(leaf.storage): n for n, leaf in enumerate(sealed.leaves) if type(leaf) is TensorNode}
    for leaf in leaves:
        storage = leaf.storage
        row = rows.get(id(storage))
        if row is None or storage.source is None or isinstance(storage.source, GuardedBytes):
            continue
        digest, name = sealed.manifest.tensors.digest(row), sealed.manifest.tensors.names[row]
        storage.source = GuardedBytes(storage.source, digest, name)
