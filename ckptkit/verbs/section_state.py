"""A section of an open checkpoint as live Python values, its bytes checked."""

from __future__ import annotations

from typing import Any

from ckptkit.containers.logical import logical_source
from ckptkit.errors import ChecksumError
from ckptkit.nodes import Node, TensorNode
from ckptkit.storage.digest import digest_many
from ckptkit.tree import path_text, to_python, walk
from ckptkit.verbs.open import Checkpoint
from ckptkit.verbs.restoring.components import import_bridge
from ckptkit.verbs.restoring.digests import DigestBook
from ckptkit.verbs.restoring.path_naming import naming
from ckptkit.verbs.saving.renamed import find_renamed


def live_state(checkpoint: Checkpoint, section: str) -> Any:
    """Return the values of a section. Raises: KeyError, ContainerError, UnrepresentableError."""
    document = checkpoint.document
    node = document[section] if section in document else find_renamed(document, section)
    if node is None and section not in document:
        raise KeyError(_no_section(checkpoint, section))
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
