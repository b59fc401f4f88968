"""The one module that a plugin imports: the hook marker, the protocols, the values, the errors.

::

    from ckptkit.plugin import Recognition, hookimpl

    @hookimpl
    def ckptkit_dialects():
        return [MyDialect()]

and in the plugin's ``pyproject.toml``::

    [project.entry-points.ckptkit]
    my_framework = "my_package.ckptkit_plugin"
"""

from __future__ import annotations

from ckptkit import errors
from ckptkit.hooks.specs import hookimpl
from ckptkit.nodes import (
    Atom,
    BlobNode,
    ByteSource,
    GlobalName,
    IndexRule,
    MapNode,
    Node,
    Path,
    Record,
    SeqNode,
    Storage,
    TensorNode,
)
from ckptkit.protocols import (
    Check,
    Container,
    Dialect,
    GlobalUse,
    Move,
    Opened,
    OpenFile,
    Probe,
    Reading,
    Recognition,
    SourceView,
    StreamScan,
)
from ckptkit.types import DEFAULT_LIMITS, DTYPES, ByteSpan, DType, Limits, Notice, TensorSpec

__all__ = [
    "DEFAULT_LIMITS",
    "DTYPES",
    "Atom",
    "BlobNode",
    "ByteSource",
    "ByteSpan",
    "Check",
    "Container",
    "DType",
    "Dialect",
    "GlobalName",
    "GlobalUse",
    "IndexRule",
    "Limits",
    "MapNode",
    "Move",
    "Node",
    "Notice",
    "OpenFile",
    "Opened",
    "Path",
    "Probe",
    "Reading",
    "Recognition",
    "Record",
    "SeqNode",
    "SourceView",
    "Storage",
    "StreamScan",
    "TensorNode",
    "TensorSpec",
    "errors",
    "hookimpl",
]
