"""What a recovery found: a document, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from ckptkit.nodes import BlobNode
from ckptkit.verbs.manifest_rows import Label
from ckptkit.verbs.open import Checkpoint

NO_LABEL = Label()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A document whose lost leaves are still in it, the files that travel with it, its label.

    ``split`` are the sections whose frozen parameters lay in a file of their own. Close
    ``checkpoint`` after use.
    """

    checkpoint: Checkpoint
    side_files: tuple[BlobNode, ...] = ()
    label: Label = NO_LABEL
    split: tuple[str, ...] = ()
