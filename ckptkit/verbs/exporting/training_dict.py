"""Sections as the training dict that scripts expect: in the words that the dialects read. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ckptkit.nodes import MapNode, Node

#: What version 2 counts, what the file said, and the key of a training dict for either.
_COUNTS = (
    ("epochs_completed", "epoch", "epoch"),
    ("optimizer_steps", "step", "global_step"),
    ("samples", "samples", "samples"),
)
_PROGRESS = {
    "epochs_completed", "optimizer_steps", "samples", "as_stored", "epoch_means", "step_means",
}  # fmt: skip
_BEST = {"name": "", "mode": "", "value": "", "epoch": "best_epoch", "where": "best_model_path"}


def training_dict(sections: Mapping[str, Node]) -> MapNode:
    """Return the sections under their names; counts and best values stand at the top.

    What has no word of its own stays where version 2 has it, so that nothing is lost.
    """
    tree = MapNode()
    for name, node in sections.items():
        if name == "progress" and isinstance(node, MapNode):
            _put_progress(tree, node)
        elif name == "metrics" and isinstance(node, MapNode):
            _put_metrics(tree, node)
        elif name == "extra" and isinstance(node, MapNode) and not _clashes(node, sections):
            for key, value in node.items():
                tree[key] = value
        else:
            tree[name] = node
    return tree


def _put_progress(tree: MapNode, progress: MapNode) -> None:
    stored = progress.get("as_stored")
    for count, raw, word in _COUNTS:
        if count in progress:
            tree[count] = progress[count]
        elif isinstance(stored, MapNode) and raw in stored:
            tree[word] = stored[raw]
    rest = [pair for pair in progress.items() if pair[0] not in _PROGRESS]
    if rest:
        tree["progress"] = MapNode(rest)


def _put_metrics(tree: MapNode, metrics: MapNode) -> None:
    rest = []
    for key, value in metrics.items():
        if key == "latest":
            tree["metrics"] = value
        elif key == "best" and _is_plain_best(value):
            tree[f"best_{value['name']}"] = value["value"]
            for part, word in _BEST.items():
                if word and part in value:
                    tree[word] = value[part]
        else:
            rest.append((key, value))
    for key, value in rest:
        tree[f"metrics_{key}"] = value


def _is_plain_best(best: Node) -> bool:
    """Whether a best value can be told by keys such as ``best_val_loss`` and ``best_epoch``."""
    if not isinstance(best, MapNode) or not {"name", "value"} <= set(best) <= set(_BEST):
        return False
    return type(best["name"]) is str and best["name"] not in ("epoch", "model_path", "")


def _clashes(extra: MapNode, sections: Mapping[str, Node]) -> bool:
    """Whether a key of ``extra`` is a word that the rest may need at the top."""
    words = {*sections, *(word for row in _COUNTS for word in row), "metrics", "progress"}
    return any(
        type(key) is str and (key in words or key.startswith(("best_", "metrics_")))
        for key in extra
    )
