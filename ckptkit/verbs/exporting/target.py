"""Where an export may write, and what it may replace: decided before anything is read."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path as FilePath

from ckptkit.errors import TargetExistsError, WriteFailedError
from ckptkit.verbs.exporting.values import ExportPlan
from ckptkit.verbs.targets import names_below, require_apart, sealed_above, shown_names

# Weights of an export before, under the names that every form gives them.
_WEIGHTS = re.compile(r"[\w-]+?(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")


def check_export_target(source: FilePath, target: FilePath) -> None:
    """Refuse a target that would harm the source or a sealed folder.

    Raises: TargetExistsError, WriteFailedError.
    """
    if target.name in ("", ".."):
        raise WriteFailedError(target, "this names no new file or folder", "a name of its own")
    require_apart(source, target)
    holder = sealed_above(target)
    if holder is not None:
        raise WriteFailedError(
            target, f"lies inside the sealed checkpoint {holder}", "a place outside of it",
            "name another DST",
        )  # fmt: skip


def check_free(target: FilePath, plan: ExportPlan, *, replace: bool) -> None:
    """Accept what is free; with ``replace`` a regular file, or a folder of such exports alone.

    Raises: TargetExistsError, which says what is there.
    """
    if not os.path.lexists(target):
        return
    seen = _why_kept(target, plan)
    if seen:
        raise TargetExistsError(
            target, seen, "a free name, or an export to replace",
            "name another DST, or move away by hand what is there",
        )  # fmt: skip
    if not replace:
        raise TargetExistsError(
            target, "exists already", "a name that is free", "name another DST, or say --replace"
        )


def _why_kept(target: FilePath, plan: ExportPlan) -> str:
    mode = target.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"is a symbolic link to {str(target.readlink())!a}"
    if not plan.is_folder:
        return "" if stat.S_ISREG(mode) else "is no regular file"
    if not stat.S_ISDIR(mode):
        return "is no folder"
    ours = {output.name for output in plan.outputs}
    strangers = [
        name for name in sorted(names_below(target)) if name not in ours and not _is_weights(name)
    ]
    return f"is a folder that holds other files: {shown_names(strangers)}" if strangers else ""


def _is_weights(name: str) -> bool:
    return _WEIGHTS.fullmatch(name) is not None
