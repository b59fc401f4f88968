"""Where an export may write, and what it may replace: decided before anything is read."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path as FilePath

from ckptkit.errors import CkptkitError, TargetExistsError, WriteFailedError
from ckptkit.nodes import TensorNode
from ckptkit.tree import walk
from ckptkit.types import DEFAULT_LIMITS, Limits
from ckptkit.verbs.exporting.values import ExportPlan
from ckptkit.verbs.open import open_container
from ckptkit.verbs.targets import names_below, require_apart, sealed_above, shown_names

# Weights of an export before, under the names that every form gives them.
_WEIGHTS = re.compile(r"[\w-]+?(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")
_INDEX_SUFFIX = ".index.json"


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


def check_free(
    target: FilePath, plan: ExportPlan, *, replace: bool, limits: Limits = DEFAULT_LIMITS
) -> None:
    """Accept what is free; with ``replace`` a file that is a checkpoint, or a folder of exports.

    A name proves nothing: what is replaced is opened first, so that no script, table or note of
    anybody's is lost to a slip of the hand.
    Raises: TargetExistsError, which says what is there.
    """
    if not os.path.lexists(target):
        return
    seen = _why_kept(target, plan, limits)
    if seen:
        raise TargetExistsError(
            target, seen, "a free name, or a checkpoint to replace",
            "name another DST, or move away by hand what is there",
        )  # fmt: skip
    if not replace:
        raise TargetExistsError(
            target, "exists already", "a name that is free", "name another DST, or say --replace"
        )


def _why_kept(target: FilePath, plan: ExportPlan, limits: Limits) -> str:
    """What forbids to replace ``target``, in words; empty if nothing does."""
    mode = target.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"is a symbolic link to {str(target.readlink())!a}"
    if not plan.is_folder:
        return _why_no_checkpoint(target, limits) if stat.S_ISREG(mode) else "is no regular file"
    if not stat.S_ISDIR(mode):
        return "is no folder"
    names = sorted(names_below(target))
    ours = {output.name for output in plan.outputs}
    strangers = [name for name in names if name not in ours and not _is_weights(name)]
    if strangers:
        return f"is a folder that holds other files: {shown_names(strangers)}"
    weights = [n for n in names if _is_weights(n) and not n.endswith(_INDEX_SUFFIX)]
    if names and not weights:
        return f"is a folder without weights, that holds {shown_names(names)}"
    reasons = ((name, _why_no_checkpoint(target / name, limits)) for name in weights)
    return next((f"its file {name!a} {reason}" for name, reason in reasons if reason), "")


def _why_no_checkpoint(path: FilePath, limits: Limits) -> str:
    """What says that a file is no whole checkpoint with tensors; empty if it is one."""
    try:
        opened = open_container(path, limits)
    except CkptkitError as exc:
        return f"is no checkpoint that could be replaced ({exc.seen})"
    try:
        if any(isinstance(node, TensorNode) for _, node in walk(opened.root)):
            return ""
    finally:
        opened.close()
    return "is a file without a tensor"


def _is_weights(name: str) -> bool:
    return _WEIGHTS.fullmatch(name) is not None
