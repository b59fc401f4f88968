"""What a checkpoint means: versions, sections, manifest.

The names are loaded on first use (PEP 562): who migrates a foreign file reads no manifest.
"""

from typing import TYPE_CHECKING, Any

from ckptkit.types import MANIFEST_NAME

if TYPE_CHECKING:
    from ckptkit.schema.chain import ChainResult, plan_chain, run_chain
    from ckptkit.schema.manifest import (
        SCHEMA,
        FileEntry,
        Manifest,
        SectionEntry,
        dump_manifest,
        parse_manifest,
    )
    from ckptkit.schema.moves import compose_moves, follow
    from ckptkit.schema.tensor_table import SharedStorage, TensorRow, TensorTable

__all__ = [
    "MANIFEST_NAME",
    "SCHEMA",
    "ChainResult",
    "FileEntry",
    "Manifest",
    "SectionEntry",
    "SharedStorage",
    "TensorRow",
    "TensorTable",
    "compose_moves",
    "dump_manifest",
    "follow",
    "parse_manifest",
    "plan_chain",
    "run_chain",
]

# No name is also that of a module here: the import system would put the module in its place.
_HOMES = {
    "chain": ("ChainResult", "plan_chain", "run_chain"),
    "manifest": (
        "SCHEMA", "FileEntry", "Manifest", "SectionEntry",
        "dump_manifest", "parse_manifest",
    ),
    "moves": ("compose_moves", "follow"),
    "tensor_table": ("SharedStorage", "TensorRow", "TensorTable"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import the module that has ``name``."""
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
