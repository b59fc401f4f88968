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

from typing import TYPE_CHECKING, Any

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
    Action,
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
    SectionMigrator,
    SourceView,
    StreamScan,
    Trainer,
)
from ckptkit.types import DEFAULT_LIMITS, DTYPES, ByteSpan, DType, Limits, Notice, TensorSpec

if TYPE_CHECKING:
    from ckptkit.algebra import (
        Cast,
        Concat,
        Custom,
        Drop,
        Eye,
        Fill,
        Normal,
        Pad,
        Rename,
        Reshape,
        Slice,
        Split,
        Stack,
        Transpose,
        Unstack,
        migrator,
    )

__all__ = [
    "DEFAULT_LIMITS",
    "DTYPES",
    "Action",
    "Atom",
    "BlobNode",
    "ByteSource",
    "ByteSpan",
    "Cast",
    "Check",
    "Concat",
    "Container",
    "Custom",
    "DType",
    "Dialect",
    "Drop",
    "Eye",
    "Fill",
    "GlobalName",
    "GlobalUse",
    "IndexRule",
    "Limits",
    "MapNode",
    "Move",
    "Node",
    "Normal",
    "Notice",
    "OpenFile",
    "Opened",
    "Pad",
    "Path",
    "Probe",
    "Reading",
    "Recognition",
    "Record",
    "Rename",
    "Reshape",
    "SectionMigrator",
    "SeqNode",
    "Slice",
    "SourceView",
    "Split",
    "Stack",
    "Storage",
    "StreamScan",
    "TensorNode",
    "TensorSpec",
    "Trainer",
    "Transpose",
    "Unstack",
    "errors",
    "hookimpl",
    "migrator",
]


def __getattr__(name: str) -> Any:
    """Import the algebra when somebody writes migrators: whoever reads a file does without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ckptkit import algebra

    return getattr(algebra, name)
