"""Is a folder one checkpoint, or does it hold several? Judged by names alone, for every verb."""

from __future__ import annotations

import os
import re
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.containers.folder_roles import (
    claims_to_be_checkpoint,
    is_dcp_folder,
    is_own_checkpoint,
    is_plain,
)
from ckptkit.containers.folder_scan import SKIPPED_FOLDERS
from ckptkit.errors import CkptkitError
from ckptkit.protocols import OpenFile
from ckptkit.types import MANIFEST_NAME

TEMPORARY_PREFIX = "._"  # what macOS leaves beside each file on foreign disks
_MAX_LOOKED_AT = 10_000  # names, to say in an error what a folder holds
_MAX_LEVELS = 6
_MAX_OPENED = 20  # files whose names do not say what they are

# Any of these says that the files beside it are its parts.
_BINDING_NAMES = frozenset({"model_index.json", "modules.json", "training_args.bin"})
_BINDING = re.compile(r"random_states_\d+\.pkl|pytorch_model_fsdp_\d+|consolidated\.\d+\.pth")
_DEEPSPEED = re.compile(r".*mp_rank_\d+_model_states\.pt")
# Weights under the name by which libraries look for them, whole or in shards.
_STEM = r"(?:(?:pytorch_|adapter_|diffusion_pytorch_)?model)"
_WEIGHTS = re.compile(rf"{_STEM}(?:\.\w+)?\.(?:safetensors|bin)(?:\.index(?:\.\w+)?\.json)?")
_SHARD = re.compile(rf"{_STEM}(?:[._-]\w+)*-\d+-of-\d+(?:\.\w+)?\.(?:safetensors|bin)")
# What training state beside such weights is called, by torch's users and by ourselves.
_PART = re.compile(
    rf"(?:{_STEM}|optimizer|scheduler|lr_scheduler|scaler|rng_state|rng|ema|sampler|dl_state_dict"
    r"|custom_checkpoint|training_args|data|extra|metrics|history|config|trackers|progress)"
    r"(?:_\d+)?(?:\.\w+){1,2}"
)
# One of a row: nobody numbers the parts of one checkpoint by epoch.
_ONE_OF_ROW = re.compile(
    r"(?:.*[^a-z])?(?:checkpoint|ckpt|epoch|step|iter)[-_=]*\d+.*", re.IGNORECASE
)


def is_one_checkpoint(path: FilePath, names: tuple[str, ...]) -> bool:
    """Say whether the files of a folder are one checkpoint, not several kept side by side.

    ``names`` is what lies in it. Something has to bind them: our manifest, the metadata of a
    distributed save, a Trainer's or an Accelerator's state, weights under the name by which
    libraries look for them, or the folder's own name (``checkpoint-500``).
    """
    if MANIFEST_NAME in names or is_dcp_folder(names) or not _BINDING_NAMES.isdisjoint(names):
        return True
    if any(_BINDING.fullmatch(name) or _DEEPSPEED.fullmatch(name) for name in names):
        return True
    if _weights_bind(names):
        return True
    own = os.path.basename(os.path.realpath(path))  # noqa: PTH119 - "." and links have names, too
    if not is_own_checkpoint(own, names):
        return False
    return is_own_checkpoint("", names) or sum(map(_is_one_of_row, names)) < 2


def _weights_bind(names: tuple[str, ...]) -> bool:
    """Weights with their config or index, or with nothing beside that is not a part."""
    weights = [name for name in names if _WEIGHTS.fullmatch(name)]
    if not weights:
        return any(name in {"optimizer.bin", "scheduler.bin"} for name in names) and any(
            name.startswith(("model", "pytorch_model")) for name in names
        )
    if any(name.endswith((".index.json", "config.json")) for name in names):
        return True
    others = [name for name in names if claims_to_be_checkpoint(name) and name not in weights]
    return all(_PART.fullmatch(name) or _SHARD.fullmatch(name) for name in others)


def _is_one_of_row(name: str) -> bool:
    return claims_to_be_checkpoint(name) and _ONE_OF_ROW.fullmatch(name) is not None


class Below(NamedTuple):
    """What was found below a folder, nearest first; ``is_cut`` if there was too much to look at."""

    names: tuple[str, ...]
    is_cut: bool


def checkpoints_below(folder: FilePath, open_file: OpenFile) -> Below:
    """Name the checkpoints in a folder and below: by their names, the nameless by content.

    Follows no link, and never fails: what cannot be looked at is left out.
    """
    named: list[str] = []
    others: list[str] = []
    pending, looked_at = [""], 0
    while pending and looked_at < _MAX_LOOKED_AT:
        relative = pending.pop(0)
        prefix = f"{relative}/" if relative else ""
        files, folders = _entries(folder / relative)
        looked_at += len(files) + len(folders)
        if relative and is_one_checkpoint(folder / relative, (*files, *folders)):
            named.append(relative)
            continue
        named += [prefix + name for name in files if claims_to_be_checkpoint(name)]
        others += [prefix + name for name in files if not _is_told(name)]
        if relative.count("/") < _MAX_LEVELS:
            pending += [prefix + name for name in folders if name not in SKIPPED_FOLDERS]
    if not named:
        named = [name for name in others[:_MAX_OPENED] if _opens(folder / name, open_file)]
    return Below(tuple(named), bool(pending))


def _is_told(name: str) -> bool:
    return claims_to_be_checkpoint(name) or is_plain(name)


def _entries(folder: FilePath) -> tuple[list[str], list[str]]:
    """The regular files and the folders directly in a folder, in order."""
    files, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(TEMPORARY_PREFIX):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    files.append(entry.name)
    except OSError:
        return [], []
    return sorted(files), sorted(folders)


def _opens(path: FilePath, open_file: OpenFile) -> bool:
    try:
        open_file(path).close()
    except CkptkitError:
        return False
    return True
