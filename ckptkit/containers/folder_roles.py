"""What a file or subfolder of a checkpoint folder is, judged by its name alone."""

from __future__ import annotations

import re
from pathlib import Path as FilePath

from ckptkit.types import MANIFEST_NAME

# State or settings that a dialect reads; every other JSON file is carried as it is.
_STATE_JSON = frozenset({
    "config.json", "trainer_state.json", "model_index.json", "modules.json", "metadata.json",
    "args.json", "training_args.json",
})  # fmt: skip
_STATE_JSON_ENDS = ("_state.json", "_config.json", "_args.json")

# Suffixes under which nobody keeps a checkpoint: such files are never opened as one.
_PLAIN_SUFFIXES = frozenset({
    ".txt", ".md", ".rst", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".csv",
    ".tsv", ".log", ".html", ".xml", ".py", ".sh", ".ipynb", ".jinja", ".model", ".lock",
    ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".pdf", ".wav", ".mp3", ".flac", ".mp4",
})  # fmt: skip
_PLAIN_NAMES = ("events.out.tfevents", ".git", "license", "readme", "notice")

# Suffixes under which a file that cannot be read is damage, not something else.
_CHECKPOINT_SUFFIXES = frozenset({
    ".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".safetensors", ".distcp", ".tar",
    ".pyth", ".th",
})  # fmt: skip

_OWN_CHECKPOINT = frozenset(
    {
        MANIFEST_NAME,
        "trainer_state.json",
        "random_states_0.pkl",
        "checkpoint-is-incomplete.txt",
    }
)
_CHECKPOINT_FOLDER = re.compile(
    r"(?:tmp-)?(?:checkpoint|ckpt|epoch|step)[-_=]?\d+.*|\..+\.(?:stage|old)-.+"
)

HF_UNFINISHED_MARK = "checkpoint-is-incomplete.txt"  # transformers, while a signal's save runs
_HALF_WRITTEN_ENDS = (".tmp", ".partial", ".incomplete", ".part", ".crdownload", "-unfinished")


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def is_state_json(name: str) -> bool:
    """Say whether a JSON file is read into nodes."""
    last = _last(name)
    if last.startswith("tokenizer") or last.endswith(".index.json"):
        return False
    return last in _STATE_JSON or last.endswith(_STATE_JSON_ENDS)


def is_plain(name: str) -> bool:
    """Say whether a file is certainly no checkpoint, so that it is carried unopened."""
    last = _last(name).lower()
    return FilePath(last).suffix in _PLAIN_SUFFIXES or last.startswith(_PLAIN_NAMES)


def claims_to_be_checkpoint(name: str) -> bool:
    """Say whether a file that cannot be read must be reported as damage."""
    return FilePath(_last(name).lower()).suffix in _CHECKPOINT_SUFFIXES


def is_dcp_folder(names: tuple[str, ...]) -> bool:
    """Say whether a folder is one torch.distributed.checkpoint save, whole or not."""
    return any(name == ".metadata" or name.endswith(".distcp") for name in names)


def is_own_checkpoint(name: str, names: tuple[str, ...]) -> bool:
    """Say whether a subfolder is a checkpoint beside others rather than a part of one."""
    if not _OWN_CHECKPOINT.isdisjoint(names):
        return True
    return _CHECKPOINT_FOLDER.fullmatch(_last(name)) is not None and bool(names)


def is_unit(name: str, names: tuple[str, ...]) -> bool:
    """Say whether a subfolder is opened as one thing, or left closed, instead of file by file."""
    return is_dcp_folder(names) or is_own_checkpoint(name, names)


def final_name(name: str) -> str | None:
    """The name that a half-written file was to get, or None if it is none."""
    for end in _HALF_WRITTEN_ENDS:
        if name.endswith(end) and name != end:
            return name.removesuffix(end)
    return None


def unfinished(path: FilePath, names: tuple[str, ...]) -> str:
    """Why a folder is one that some save did not finish; empty if it is whole.

    A half-written file beside the whole one of its name is no reason: it is what a save that
    died left, and the file that it was to replace is still there.
    """
    is_stage = path.name.startswith("tmp-checkpoint-") or path.name.endswith(_HALF_WRITTEN_ENDS)
    if HF_UNFINISHED_MARK in names or is_stage:
        return "the save of this checkpoint was still running"
    for name in names:
        final = final_name(name)
        if final is not None and final not in names:
            return f"{ascii(name)[1:-1]} is half-written, and there is no {ascii(final)[1:-1]}"
    has_rng = any(re.fullmatch(r"rng_state(_\d+)?\.pth", name) for name in names)
    if has_rng and "scheduler.pt" in names and "trainer_state.json" not in names:
        told = "has the parts of a Trainer checkpoint, but not the trainer_state.json"
        return f"{told} that is written last"
    return ""


_OUR_SECTIONS = frozenset({
    "model.safetensors", "optimizer.safetensors", "ema.safetensors", "rng.safetensors",
    "scheduler.safetensors", "scaler.safetensors", "data.safetensors", "metrics.safetensors",
})  # fmt: skip
_FROZEN, _TRAINABLE = "-frozen.safetensors", "-trainable.safetensors"


def looks_unsealed(names: tuple[str, ...]) -> bool:
    """Say whether a folder looks like a sealed one of ours that lost its manifest."""
    if MANIFEST_NAME in names:
        return False
    halves = {name.removesuffix(_FROZEN) for name in names if name.endswith(_FROZEN)}
    return len(_OUR_SECTIONS.intersection(names)) >= 2 or any(
        half + _TRAINABLE in names for half in halves
    )
