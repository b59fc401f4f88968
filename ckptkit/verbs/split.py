"""Frozen parameters apart from those that train, and the index that names both files. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.nodes import BlobNode, TensorNode
from ckptkit.tree import FlatSections
from ckptkit.verbs.planned_file import PlannedFile

TRAINABLE, FROZEN = "-trainable", "-frozen"


def split_frozen(flat: FlatSections, leaves: Sequence[int]) -> dict[str, list[int]] | None:
    """Part the leaves of one section; None unless there are parameters of both kinds.

    Buffers go with what trains: they change as it does.
    """
    parts: dict[str, list[int]] = {TRAINABLE: [], FROZEN: []}
    for number in leaves:
        parts[FROZEN if is_frozen(flat.leaves[number]) else TRAINABLE].append(number)
    trains = any(is_trainable(flat.leaves[number]) for number in parts[TRAINABLE])
    return parts if trains and parts[FROZEN] else None


def is_frozen(leaf: object) -> bool:
    """Whether a leaf is a parameter that does not train."""
    return isinstance(leaf, TensorNode) and leaf.flavour == "parameter" and not leaf.requires_grad


def is_trainable(leaf: object) -> bool:
    """Whether a leaf is a parameter that trains."""
    return isinstance(leaf, TensorNode) and leaf.flavour == "parameter" and leaf.requires_grad


def plan_index(section: str, files: Sequence[PlannedFile]) -> PlannedFile:
    """The index that says which file holds which name, in the form of Hugging Face."""
    import json

    nbytes = sum(span.nbytes for file in files for span in file.spans)
    homes = {name: file.name for file in files for name in file.names}
    index = {"metadata": {"total_size": nbytes}, "weight_map": dict(sorted(homes.items()))}
    text = json.dumps(index, indent=2, ensure_ascii=False).encode() + b"\n"
    name = f"{section}.safetensors.index.json"
    blob = BlobNode(name, len(text), MemoryBytes(text))
    return PlannedFile(name, "index", b"", (), (), (), blob)
