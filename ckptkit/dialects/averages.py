"""Averaged weights (EMA, SWA, Polyak) in the forms in which scripts save them."""

from __future__ import annotations

from ckptkit.dialects.draft import Draft
from ckptkit.dialects.looks import is_number, is_state_dict, is_tensor
from ckptkit.dialects.sorting import Found
from ckptkit.dialects.weights import place_averaged, place_weights
from ckptkit.nodes import MapNode, Path, SeqNode

#: Where an averager's own state keeps the averages: by name, or as a list in parameter order.
SHADOWS = ("shadow_params", "shadow", "averaged_params", "ema_params", "params_ema")
DECAYS = ("decay", "beta", "ema_decay")
COUNTS = ("num_updates", "optimization_step", "updates", "n_averaged", "n_updates", "step")

#: ema_pytorch keeps the raw model beside the averaged one, under these prefixes.
EMA_PYTORCH = "ema_model."


def place_average(draft: Draft, one: Found, role: Path) -> None:
    """Put one set of averages at ``ema``; ``role`` tells several apart.

    What an averager's state holds besides weights, decay and count goes to ``extra``.
    """
    target = ("ema", "weights", *role)
    if one.weights is not None and one.weights.kind == "averaged" and not role:
        place_averaged(draft, one.weights.path)
    elif isinstance(one.node, MapNode) and _is_ema_pytorch(one.node):
        _place_ema_pytorch(draft, one, target)
    elif one.weights is not None:
        place_weights(draft, one.weights, target)
        if isinstance(one.node, MapNode) and one.weights.path != _base(one) and not role:
            _place_counts(draft, one)
    else:
        _place_shadow(draft, one, target, single=not role)


def _is_ema_pytorch(node: MapNode) -> bool:
    return "initted" in node and "step" in node


def _place_ema_pytorch(draft: Draft, one: Found, target: Path) -> None:
    base = _base(one)
    for name in one.node:
        if isinstance(name, str) and name.startswith(EMA_PYTORCH):
            draft.take((*base, name), (*target, name[len(EMA_PYTORCH) :]))
    if len(target) == 2:
        draft.take((*base, "step"), ("ema", "updates"))


def _base(one: Found) -> Path:
    """The path of the averager's own state, whose key the sorting noted."""
    place = one.path.index(one.key)
    return one.path[: place + 1]


def _place_counts(draft: Draft, one: Found) -> None:
    for words, slot in ((DECAYS, "decay"), (COUNTS, "updates")):
        key = next((w for w in words if _is_count(one.node, w)), None)
        if key is not None:
            draft.take((*_base(one), key), ("ema", slot))


def _is_count(node: MapNode, key: str) -> bool:
    value = node.get(key)
    return is_number(value) or (is_tensor(value) and getattr(value, "shape", None) == ())


def _place_shadow(draft: Draft, one: Found, target: Path, *, single: bool) -> None:
    key = next((w for w in SHADOWS if isinstance(one.node.get(w), (MapNode, SeqNode))), None)
    if key is None:
        draft.notice(
            "warning", "ema-unknown",
            f"{one.key} holds no form of averaged weights that is known; it is in extra",
            one.key,
        )  # fmt: skip
        return
    draft.take((*_base(one), key), target)
    if single:
        _place_counts(draft, one)
    if not is_state_dict(one.node[key]):
        draft.notice(
            "warning", "ema-unnamed",
            "the averaged weights are a list in parameter order; the model must give their names",
            one.key,
        )  # fmt: skip
