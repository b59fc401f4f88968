"""What a checkpoint means: versions, sections, manifest."""

from ckptkit.schema.chain import ChainResult, plan_chain, run_chain
from ckptkit.schema.manifest import (
    MANIFEST_NAME,
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
