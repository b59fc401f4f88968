"""What a resume from a checkpoint would lack, and what in it is only an approximation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ckptkit.nodes import MapNode, Node, Path, TensorNode
from ckptkit.tree import key_text
from ckptkit.types import Notice
from ckptkit.verbs.places import leaf_places
from ckptkit.verbs.progress_words import told_progress

_HALF = frozenset({"float16", "bfloat16"})
_MOMENTS = frozenset({"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg"})
# Settings by which training scripts turn on loss scaling; bfloat16 needs no scaler.
_AMP_KEYS = frozenset({"amp", "use_amp", "fp16", "mixed_precision", "precision", "use_fp16"})
_AMP_VALUES = frozenset({"fp16", "float16", "16", "16-mixed", "half", "true", "yes"})


_WEIGHTS_ONLY = Notice(
    "info", "weights-only", "weights only: good for inference and fine-tuning, not for a resume"
)


_NO_WEIGHTS = Notice("info", "no-weights", "no weights are in it, neither raw nor averaged ones")
_COUNTS = ("epochs_completed", "optimizer_steps", "samples")


class Gap(NamedTuple):
    """A part that is not there, and what its absence does to a run that resumes."""

    section: str
    effect: str


_GAPS = (
    Gap("model", "there are no raw weights to go on training from"),
    Gap("optimizer", "momentum and second moments start again from nothing"),
    Gap("scheduler", "the learning rate starts its schedule again"),
    Gap("rng", "dropout and augmentation draw other numbers"),
    Gap("data", "a half-done epoch starts again from its first sample"),
    Gap("progress", "epoch and step are unknown: the run counts from zero"),
)


def find_gaps(document: MapNode, tensors: Mapping[str, int]) -> tuple[Gap, ...]:
    """List the sections that an exact resume needs and that are absent or empty.

    ``tensors``: section name -> number of tensors in it.
    """
    gaps = [gap for gap in _GAPS if _is_absent(document, gap.section)]
    if "model" in document and not tensors.get("model") and gaps[:1] != [_GAPS[0]]:
        gaps.insert(0, Gap("model", "its section holds no tensor"))
    if not _is_absent(document, "progress") and (untold := _uncounted(told_progress(document))):
        effect = f"{' and '.join(untold)} {'is a tensor' if len(untold) == 1 else 'are tensors'}"
        gaps.append(Gap("progress", f"{effect}; inspect --stats reads it"))
    if _is_absent(document, "scaler") and _says_fp16(document.get("config")):
        gaps.append(Gap("scaler", "the config says fp16, so the loss scale is sought again"))
    return tuple(gaps)


def lacks_all_but_weights(gaps: Sequence[Gap]) -> bool:
    """Say whether there are weights, and not one of the other parts of a resume."""
    lacking = {gap.section for gap in gaps}
    return lacking - {"scaler"} == {gap.section for gap in _GAPS} - {"model"}


def find_losses(
    document: MapNode, places: Mapping[str, Sequence[tuple[Path, TensorNode]]]
) -> tuple[Notice, ...]:
    """Name what was stored with less than what training had."""
    notices = []
    n_tensors = {name: len(rows) for name, rows in places.items()}
    if n_tensors.get("ema") and not n_tensors.get("model"):
        notices.append(
            Notice("warning", "ema-only", "only averaged (EMA) weights: the raw ones are not here")
        )
    weights = n_tensors.get("model") or n_tensors.get("ema")
    if not weights:
        notices.append(_NO_WEIGHTS)
    if weights and not n_tensors.get("optimizer") and _is_absent(document, "progress"):
        notices.append(_WEIGHTS_ONLY)
    half = [
        path for path, tensor in places.get("optimizer", ())
        if tensor.dtype.name in _HALF and path[-1] in _MOMENTS
    ]  # fmt: skip
    if half:
        notices.append(
            Notice(
                "warning", "half-optimizer",
                f"optimizer state in half precision ({len(half)} tensors): a resume is not exact",
            )
        )  # fmt: skip
    if _optimizer_is_hollow(document.get("optimizer")):
        notices.append(
            Notice("warning", "hollow-optimizer", "the optimizer has groups, but no state in them")
        )
    return tuple(notices)


def _is_absent(document: MapNode, section: str) -> bool:
    node = told_progress(document) if section == "progress" else document.get(section)
    if section == "progress" and isinstance(node, MapNode):
        as_stored = node.get("as_stored")
        return all(node.get(key) is None for key in _COUNTS) and not (
            isinstance(as_stored, MapNode) and len(as_stored)
        )
    return node is None or (isinstance(node, MapNode) and not len(node))


def _uncounted(progress: Node) -> list[str]:
    """The counts that are stored as tensors, whose value only their bytes tell."""
    stored = progress.get("as_stored") if isinstance(progress, MapNode) else None
    if not isinstance(stored, MapNode) or any(progress.get(key) is not None for key in _COUNTS):
        return []
    return [key_text(key) for key, node in stored.items() if isinstance(node, TensorNode)]


def _says_fp16(config: Node) -> bool:
    if config is None:
        return False
    for path, value in leaf_places(config):
        key = next((part for part in reversed(path) if isinstance(part, str)), "")
        if key.lower() in _AMP_KEYS and key_text(value).lower() in _AMP_VALUES:
            return True
    return False


def _optimizer_is_hollow(optimizer: Node) -> bool:
    if not isinstance(optimizer, MapNode):
        return False
    state = optimizer.get("state")
    groups = optimizer.get("param_groups")
    return isinstance(state, MapNode) and not len(state) and groups is not None
