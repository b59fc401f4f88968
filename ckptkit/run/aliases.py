"""``latest_checkpoint`` and ``best_model``: second names for sealed checkpoints, moved in one step.

An alias is a folder of its own whose files are hard links (copies where the file system has
none). It costs no space, every tool opens it, and it outlives the checkpoint that it was made
from: who removes all ``checkpoint_epoch_*`` still has the last and the best.
"""

from __future__ import annotations

import os
from pathlib import Path

from ckptkit.errors import NotFoundError
from ckptkit.storage.atomic import stage
from ckptkit.storage.linking import hard_link_or_copy
from ckptkit.types import MANIFEST_NAME

_DIGEST_NBYTES = 16  # the manifest's last bytes identify a checkpoint: docs/format.md


def point(alias: Path, checkpoint: Path) -> None:
    """Let ``alias`` be a second name of ``checkpoint``; at any moment it is the old or the new one.

    Raises: NotFoundError if ``checkpoint`` is not sealed; StorageError.
    """
    if not os.path.lexists(checkpoint / MANIFEST_NAME):
        raise NotFoundError(checkpoint, "is no sealed checkpoint", f"a {MANIFEST_NAME} in it")
    if identity(alias) == identity(checkpoint):
        return
    with stage(alias, replace=True) as staged:
        names = sorted(_file_names(checkpoint), key=lambda name: name == MANIFEST_NAME)
        for name in names:  # the manifest last: it is the seal
            (staged.path / name).parent.mkdir(parents=True, exist_ok=True)
            hard_link_or_copy(checkpoint / name, staged.path / name)
        staged.commit()


def _file_names(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path.relative_to(folder).as_posix() for path in found]


def identity(checkpoint: Path) -> bytes | None:
    """The digest that its manifest ends with; None where there is no whole manifest.

    Two folders of one identity hold the same checkpoint.
    """
    try:
        with (checkpoint / MANIFEST_NAME).open("rb") as file:
            file.seek(-_DIGEST_NBYTES, os.SEEK_END)
            return file.read()
    except OSError:
        return None
