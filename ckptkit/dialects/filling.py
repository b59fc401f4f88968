"""Filling the sections of a version 1 document from a training dict that was taken apart."""

from __future__ import annotations

from ckptkit.dialects.averages import place_average
from ckptkit.dialects.draft import Draft
from ckptkit.dialects.hints import tell_absolute_paths, tell_half_precision
from ckptkit.dialects.looks import is_number, is_tensor
from ckptkit.dialects.sorting import MAX_KEYS, Found, Sorted
from ckptkit.dialects.synonyms import mode_of
from ckptkit.dialects.weights import place_weights
from ckptkit.nodes import MapNode, Record, SeqNode

#: Keys beside a best value that say when and where it was.
BEST_EPOCHS = frozenset(["best_epoch", "best_epoch_num", "best_epoch_idx"])
BEST_PLACES = frozenset(
    ["best_model_path", "best_path", "best_checkpoint", "best_model_checkpoint"]
)


def place_model(draft: Draft, found: Sorted) -> None:
    """Put weights at ``model``: one mapping of names, or one for each role if there are several."""
    models = [one for one in found.sections.get("model", ()) if one.weights is not None]
    for one, role in zip(models, distinct_roles(models), strict=True):
        target = ("model",) if len(models) == 1 else ("model", role)
        if one.weights is not None:
            place_weights(draft, one.weights, target)


def place_ema(draft: Draft, found: Sorted) -> None:
    """Put averaged weights at ``ema``, apart from the raw ones."""
    averages = found.sections.get("ema", [])
    if not averages:
        return
    single = len(averages) == 1
    for one, role in zip(averages, distinct_roles(averages), strict=True):
        place_average(draft, one, () if single else (role,))
    if "model" not in draft.document:
        draft.notice(
            "warning", "ema-only",
            "only averaged weights are in it, not the raw ones that training would go on from",
            averages[0].key,
        )  # fmt: skip


def place_section(draft: Draft, found: Sorted, section: str) -> None:
    """Put a section in place verbatim; several of a kind side by side under their roles.

    A list of one state is that state; a list of several becomes roles "0", "1", ...
    """
    parts = _unlisted(found.sections.get(section, []), section)
    roles = distinct_roles(parts)
    for one, role in zip(parts, roles, strict=True):
        draft.take(one.path, (section,) if len(parts) == 1 else (section, role))
        if section == "optimizer":
            tell_half_precision(draft, one.node, one.key)
        if section == "config":
            tell_absolute_paths(draft, one.node, one.key)


def _unlisted(parts: list[Found], section: str) -> list[Found]:
    if section not in ("optimizer", "scheduler"):
        return parts
    result = []
    for one in parts:
        items = one.node.items if isinstance(one.node, SeqNode) else None
        if items and all(isinstance(item, (MapNode, Record)) for item in items):
            result += [
                one._replace(
                    path=(*one.path, i),
                    node=item,
                    role=one.role if len(items) == 1 else f"{one.role}{i}",
                )
                for i, item in enumerate(items)
            ]
        else:
            result.append(one)
    return result


def distinct_roles(parts: list[Found]) -> list[str]:
    """A name for each part, all different: its role, else its key."""
    roles: dict[str, None] = {}
    tried: dict[str, int] = {}  # so that many of one name cost no more than few
    for one in parts:
        wanted = role = one.role or one.key.removesuffix("_state_dict")
        if role in roles:
            wanted = role = one.key
        while role in roles:
            tried[wanted] = tried.get(wanted, 1) + 1
            role = f"{wanted}_{tried[wanted]}"
        roles[role] = None
    return list(roles)


def place_history(draft: Draft, found: Sorted) -> None:
    """Put what was recorded epoch by epoch at ``history``: series keep their names."""
    parts = found.sections.get("history", [])
    alone = len(parts) == 1 and isinstance(parts[0].node, (MapNode, Record))
    for one in parts:
        draft.take(one.path, ("history",) if alone else ("history", one.key))


def place_metrics(draft: Draft, found: Sorted) -> None:
    """Put the latest measurements at ``metrics``."""
    parts = found.sections.get("metrics", [])
    alone = len(parts) == 1 and parts[0].key == "metrics" and isinstance(parts[0].node, MapNode)
    for one in parts:
        draft.take(one.path, ("metrics",) if alone else ("metrics", one.key))


def place_best(draft: Draft, found: Sorted, name: str = "", mode: str = "") -> None:
    """Put the best value so far at ``best``, with its name, its mode, its epoch and its place.

    ``name`` and ``mode`` are what the dialect knows of the measure; else the key tells.
    """
    for one in found.sections.get("best", ()):
        key = one.key.lower()
        if key in BEST_EPOCHS and "epoch" not in _best(draft):
            draft.take(one.path, ("best", "epoch"))
        elif key in BEST_PLACES and "where" not in _best(draft):
            draft.take(one.path, ("best", "where"))
            tell_absolute_paths(draft, one.node, one.key)
        elif "value" not in _best(draft) and _is_value(one):
            draft.take(one.path, ("best", "value"))
            measure = name or one.key[len("best") :].strip("_-. ") or one.key
            draft.say(("best", "name"), measure)
            if direction := mode or mode_of(measure):
                draft.say(("best", "mode"), direction)


def _best(draft: Draft) -> MapNode:
    best = draft.document.get("best")
    return best if isinstance(best, MapNode) else MapNode()


def _is_value(one: Found) -> bool:
    node = one.node
    return is_number(node) or is_tensor(node) or isinstance(node, (MapNode, Record))


def tell_what_lacks(draft: Draft, found: Sorted) -> None:
    """Say it where there are weights and nothing to train on with."""
    if found.n_unsorted:
        draft.notice(
            "info", "many-keys",
            f"more than {MAX_KEYS} keys: {found.n_unsorted} of unusual names went to extra unseen",
        )  # fmt: skip
    has_weights = "model" in draft.document or "ema" in draft.document
    if has_weights and not found.has("optimizer"):
        draft.notice(
            "info", "weights-only",
            "no optimizer state is in it: training can start from these weights, not resume",
        )  # fmt: skip
