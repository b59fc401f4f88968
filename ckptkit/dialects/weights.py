"""Finding the weights below a key, and placing them under the names that the model itself uses."""

from __future__ import annotations

from typing import NamedTuple

from ckptkit.dialects.draft import Draft
from ckptkit.dialects.looks import (
    is_averaged_model,
    is_module,
    is_state_dict,
)
from ckptkit.dialects.module_state import collect_state
from ckptkit.dialects.prefixes import describe, strip_wrappers
from ckptkit.nodes import MapNode, Node, Path
from ckptkit.tree import path_text, resolve

#: Where a wrapper such as {"state_dict": ..., "model_args": ...} keeps the state_dict.
INNER = ("state_dict", "model_state_dict", "model", "weights", "params", "module", "model_state")

#: How many wrappers may lie around a state_dict.
MAX_WRAPPERS = 3


class Weights(NamedTuple):
    """Where weights lie, and as what: "names", "module" (pickled) or "averaged" (AveragedModel)."""

    path: Path
    kind: str
    role: str = ""


def find_weights(node: Node, path: Path, role: str = "") -> list[Weights]:
    """The weights at ``node``: one, or several by role, or none if it is something else."""
    for _ in range(MAX_WRAPPERS):
        if is_averaged_model(node):
            return [Weights(path, "averaged", role)]
        if is_state_dict(node):
            return [Weights(path, "names", role)]
        if is_module(node):
            return [Weights(path, "module", role)]
        if not isinstance(node, MapNode):
            return []
        inner = next((key for key in INNER if _holds_weights(node.get(key))), None)
        if inner is None:
            break
        node, path = node[inner], (*path, inner)
    return _by_role(node, path)


def _holds_weights(node: Node) -> bool:
    if is_state_dict(node) or is_module(node):
        return True
    return isinstance(node, MapNode) and any(is_state_dict(node.get(key)) for key in INNER)


def _by_role(node: MapNode, path: Path) -> list[Weights]:
    """{"generator": state_dict, "discriminator": state_dict}: all of it must be weights."""
    if not 0 < len(node) <= 64:
        return []
    found = []
    for key, value in node.items():
        if not isinstance(key, str):
            return []
        if is_state_dict(value):
            found.append(Weights((*path, key), "names", key))
        elif is_module(value):
            found.append(Weights((*path, key), "module", key))
        elif not (isinstance(value, MapNode) and not len(value)):
            return []
    return found


def place_weights(draft: Draft, weights: Weights, target: Path) -> None:
    """Put weights at ``target``; whatever else a pickled module holds stays whole in ``extra``."""
    if weights.kind == "module":
        _place_module(draft, weights.path, target)
    else:
        place_names(draft, weights.path, target)


def place_names(draft: Draft, source: Path, target: Path, *, parallel: bool = True) -> None:
    """Put a mapping of names to tensors at ``target``, without the prefixes of wrappers.

    ``parallel`` False keeps a leading ``module.``: in that dialect it is the model's own.
    """
    node = resolve(draft.root, source)
    renamed = strip_wrappers([str(key) for key in node], parallel=parallel)
    if renamed:
        draft.take_renamed(source, target, renamed, describe(renamed))
    else:
        draft.take(source, target)


def place_averaged(draft: Draft, source: Path) -> None:
    """Put the state_dict of an ``AveragedModel`` at ``ema``, with its count of updates."""
    node = resolve(draft.root, source)
    draft.take((*source, "n_averaged"), ("ema", "updates"), "AveragedModel's n_averaged")
    names = [key for key in node if key != "n_averaged"]
    renamed = strip_wrappers(names)
    for name in names:
        draft.take((*source, name), ("ema", "weights", renamed.get(name, name)))


def _place_module(draft: Draft, source: Path, target: Path) -> None:
    """Collect a pickled module's tensors; keep the complete record beside them."""
    record = resolve(draft.root, source)
    state = collect_state(record)
    renamed = strip_wrappers([tensor.name for tensor in state.tensors])
    draft.say(target, MapNode(kind="OrderedDict"))
    for tensor in state.tensors:
        name = renamed.get(tensor.name, tensor.name)
        draft.show((*source, *tensor.path), (*target, name), "from a pickled module")
    draft.take(source, ("extra", *(source or ("module",))), "the whole object, as a record")
    where = path_text(source)
    draft.notice(
        "info", "pickled-module",
        f"the file holds a whole {record.name.text} object: its {len(state.tensors)} tensors were "
        "taken by name, the object itself stays in extra as data",
        where,
    )  # fmt: skip
    if state.non_persistent:
        draft.notice(
            "info", "non-persistent-buffers",
            f"{len(state.non_persistent)} buffers that the module itself does not save stay in "
            f"extra only: {', '.join(state.non_persistent[:5])}",
            where,
        )  # fmt: skip
    if not state.whole:
        draft.notice(
            "warning", "module-too-deep",
            "the module is nested too deeply or has too many parts; what lies beyond is in extra "
            "only", where,
        )  # fmt: skip
