"""A section of an open checkpoint as live Python values, its bytes checked."""

from __future__ import annotations

from typing import Any

from ckptkit.containers.logical import logical_source
from ckptkit.errors import ChecksumError
from ckptkit.nodes import MapNode, Node, SeqNode, TensorNode
from ckptkit.storage.digest import digest_many
from ckptkit.tree import key_text, path_text, resolve, to_python, walk
from ckptkit.verbs.open import Checkpoint
from ckptkit.verbs.restoring.components import import_bridge
from ckptkit.verbs.restoring.digests import DigestBook
from ckptkit.verbs.restoring.path_naming import naming
from ckptkit.verbs.saving.arrange import RENAMED


def live_state(checkpoint: Checkpoint, section: str) -> Any:
    """Return the values of a section. Raises: KeyError, ContainerError, UnrepresentableError."""
    if section not in checkpoint.document:
        raise KeyError(_no_section(checkpoint, section))
    node = _node(checkpoint.document, section)
    if not any(isinstance(found, TensorNode) for _, found in walk(node)):
        return to_python(node)  # needs no torch
    with naming(checkpoint.path):
        check_digests(node, section, DigestBook(checkpoint))
    return import_bridge("revive").revive(node)


def _no_section(checkpoint: Checkpoint, section: str) -> str:
    from difflib import get_close_matches

    names = [str(key) for key in checkpoint.document]
    near = get_close_matches(str(section), names, 1)
    advice = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(names) or "none"
    return f"{checkpoint.path} has no section {section!r}{advice} (its sections: {listed})"


def _node(document: MapNode, section: str) -> Node:
    """The section, or what ``save`` was given under this name and put into one."""
    if section in document:
        return document[section]
    node: Node = document
    for key in ("provenance", "saved", RENAMED, section):
        node = node.get(key) if isinstance(node, MapNode) else None
    if not isinstance(node, SeqNode):
        names = ", ".join(key_text(name) for name in document)
        raise KeyError(f"{section!r:.200} is no section of this checkpoint; it has {names}")
    return resolve(document, tuple(node.items))


def check_digests(root: Node, where: str, book: DigestBook) -> None:
    """Compare every tensor below ``root`` with the digest it was sealed with, if any.

    Raises: ChecksumError, naming the tensor; ContainerError for what cannot be read.
    """
    found = [
        (path, node, digest)
        for path, node in walk(root)
        if type(node) is TensorNode and (digest := book.of(node))
    ]
    digests = digest_many([logical_source(node) for _, node, _ in found])
    for (path, _, wanted), digest in zip(found, digests, strict=True):
        if digest != wanted:
            name = path_text((where, *path))
            raise ChecksumError(
                name, "its bytes do not have the digest that was recorded when it was saved",
                "the bytes that were saved", "the file is damaged: use another checkpoint",
            )  # fmt: skip
