"""A checkpoint without what only a resume needs: its weights, and what it says of itself."""

from __future__ import annotations

from pathlib import Path

from ckptkit.errors import ChecksumError
from ckptkit.nodes import MapNode, SeqNode
from ckptkit.run.choose import damage
from ckptkit.verbs.exporting.hf_folder import side_files_of
from ckptkit.verbs.manifest_rows import Label
from ckptkit.verbs.open import load
from ckptkit.verbs.seal import SealOptions, plan_seal, seal

#: What goes: all else stays, sections that nobody here knows too, for they may be weights.
RESUME_ONLY = frozenset(
    {"optimizer", "scheduler", "scaler", "rng", "data", "trackers", "gradients", "probe"}
)


def slim(path: Path) -> None:
    """Rewrite a checkpoint with its weights alone, in one step; it says so in its provenance.

    Raises: ContainerError if a byte of it is damaged: then it stays as it is; StorageError.
    """
    with load(path) as checkpoint:
        document = checkpoint.document
        gone = [name for name in document if name in RESUME_ONLY]
        if not gone:
            return
        _require_whole(path)
        kept = MapNode([(name, node) for name, node in document.items() if name not in gone])
        told = kept.get("provenance")
        pairs = told.items() if isinstance(told, MapNode) else []
        kept["provenance"] = MapNode([*pairs, ("slimmed", SeqNode(list(gone)))])
        sealed = checkpoint.sealed
        label = Label() if sealed is None else Label(
            sealed.manifest.created, sealed.manifest.trainer,
            {e.name: e.version for e in sealed.manifest.sections if e.name in kept},
        )  # fmt: skip
        side_files = side_files_of(checkpoint).values()
        plan = plan_seal(kept, list(side_files))
        seal(plan, path, SealOptions(replace=True, label=label))


def _require_whole(path: Path) -> None:
    """Verify first: what is written anew gets new digests, which would vouch for damaged bytes."""
    wrong = damage(path)
    if wrong:
        raise ChecksumError(path, wrong, "a checkpoint of which every byte is whole",
                            "ckptkit recover saves what it still holds")  # fmt: skip
