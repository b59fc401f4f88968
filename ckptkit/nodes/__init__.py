"""The state of a checkpoint as inert data: the one form that all rooms hand each other.

A node is a plain scalar (None, bool, int, float, complex, str, bytes) or one of the classes
here. Nodes may share children and may form cycles, as pickles do, so whoever walks them does
it iteratively and remembers whom it has met (``ckptkit.tree``). No node ever holds a live
class or function of the file: a name is only ever a ``GlobalName``.
"""

from ckptkit.nodes.keys import key_token, structural_key
from ckptkit.nodes.kinds import (
    Atom,
    BlobNode,
    ByteSource,
    GlobalName,
    IndexRule,
    Node,
    Path,
    PathKey,
    Record,
    SeqNode,
    Storage,
    TensorNode,
)
from ckptkit.nodes.mapping import MapNode

__all__ = [
    "Atom",
    "BlobNode",
    "ByteSource",
    "GlobalName",
    "IndexRule",
    "MapNode",
    "Node",
    "Path",
    "PathKey",
    "Record",
    "SeqNode",
    "Storage",
    "TensorNode",
    "key_token",
    "structural_key",
]
