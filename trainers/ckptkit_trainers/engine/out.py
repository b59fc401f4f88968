"""Where ``ckptkit sample`` writes, alike for every trainer; imports no torch."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ckptkit.plugin import errors
from ckptkit_trainers.engine.settings import option

SAMPLES, CHECKPOINTS = "samples", "checkpoints"  # of a run's folder
_FULL = (errno.ENOSPC, errno.EDQUOT)  # of which the system does not say for which file


def out_option(what: str) -> Any:
    """Return the dataclass field of the folder for ``what``."""
    return option("", f"folder for {what}; empty: samples/ of the run, ./samples without a run")


@contextmanager
def open_out(asked: str, checkpoint: Path) -> Iterator[Path]:
    """Make the folder that was asked for, else the run's for samples, else the one here.

    Raises: DiskFullError, WriteFailedError where it, or what is made in it within the block,
    cannot be written.
    """
    out = out_folder(asked, checkpoint)
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield out
    except OSError as exc:
        failed = Path(exc.filename) if isinstance(exc.filename, str) else None
        if exc.errno not in _FULL and (failed is None or not _is_in_or_above(failed, out)):
            raise  # the matter of another file
        kind = errors.DiskFullError if exc.errno in _FULL else errors.WriteFailedError
        raise kind(
            failed or out, f"cannot be written: {(exc.strerror or str(exc)).lower()}",
            "a folder that can be", "name another with --out",
        ) from exc  # fmt: skip


def out_folder(asked: str, checkpoint: Path) -> Path:
    """Return the folder that was asked for, else the run's for samples, else the one here."""
    if asked:
        return Path(asked).expanduser()
    home = checkpoint.parent if checkpoint.parent.name else checkpoint.absolute().parent
    return home.parent / SAMPLES if home.name == CHECKPOINTS else Path(SAMPLES)


def _is_in_or_above(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents or path in folder.parents
