"""Which weights of a checkpoint fill a module: the raw ones, or the averaged ones."""

from __future__ import annotations

from typing import NamedTuple

from ckptkit.match.values import Entry
from ckptkit.nodes import MapNode, Node, SeqNode, TensorNode
from ckptkit.verbs.restoring.planned import Request

MODEL = "model"
AVERAGES = "ema"
NO_AVERAGES = "the checkpoint has no averaged weights"


class Weights(NamedTuple):
    """The state_dict found for a module. ``node`` is None where there is none: ``why`` says it."""

    source: str
    node: MapNode | None = None
    why: str = ""
    notes: tuple[str, ...] = ()


def find_weights(name: str, wanted: tuple[Entry, ...], request: Request) -> Weights:
    """Find the weights for the module called ``name``.

    ``wanted`` are its entries: averages that are a mere list are told apart by their order, if
    every shape agrees one to one.
    """
    document = request.checkpoint.document
    if request.use == "ema":
        return _averaged(name, document, wanted, request)
    node = document.get(name)
    if isinstance(node, MapNode):
        return Weights(name, node)
    if node is not None:
        return Weights(name, None, f"the section {name} holds no state_dict")
    if name == MODEL and AVERAGES in document:
        return Weights(name, None, 'the checkpoint has only averaged weights; use="ema" takes them')
    return Weights(name, None, no_section(name, document))


_MAX_LISTED = 12  # a state_dict that was saved as sections has thousands


def no_section(name: str, document: MapNode) -> str:
    """Say that there is no such section, which there are, and which one was probably meant."""
    from difflib import get_close_matches

    names = [str(key) for key in document]
    listed = ", ".join(names[:_MAX_LISTED]) or "none"
    if len(names) > _MAX_LISTED:
        listed += f" and {len(names) - _MAX_LISTED:,} more"
    near = get_close_matches(name, names, 1) or _with_weights(document)
    meant = f"; did you mean {near[0]!r}?" if len(near) == 1 else ""
    return f"the checkpoint has no section of this name{meant} (its sections: {listed})"


def _with_weights(document: MapNode) -> list[str]:
    """The sections that look like a model's state_dict: a tensor lies in them at once."""
    return [
        str(key)
        for key, node in document.items()
        if isinstance(node, MapNode) and any(type(one) is TensorNode for one in node.values())
    ]


def _averaged(name: str, document: MapNode, wanted: tuple[Entry, ...], request: Request) -> Weights:
    ema = document.get(AVERAGES)
    if not isinstance(ema, MapNode):
        has_raw = isinstance(document.get(name), MapNode)
        advice = '; without use="ema" the raw ones are taken' if has_raw else ""
        return Weights(AVERAGES, None, f"{NO_AVERAGES}{advice}")
    own = ema.get(name)
    if "weights" not in ema and isinstance(own, MapNode):
        ema, source = own, f"{AVERAGES}/{name}"
    else:
        source = AVERAGES
    weights, source = ema.get("weights"), f"{source}/weights"
    notes: tuple[str, ...] = ()
    if request.mode == "resume":
        notes = ("training goes on from averaged weights, as asked; the raw ones are not loaded",)
        if MODEL not in document:
            notes = ("the checkpoint has averaged weights only: training goes on from them",)
    if isinstance(weights, SeqNode):
        return _by_order(source, weights.items, wanted, notes)
    if isinstance(weights, MapNode) and name != MODEL and isinstance(weights.get(name), MapNode):
        weights, source = weights[name], f"{source}/{name}"
    if isinstance(weights, MapNode):
        return Weights(source, weights, "", notes)
    return Weights(source, None, f"the section {source} holds no state_dict")


def _by_order(
    source: str, items: list[Node], wanted: tuple[Entry, ...], notes: tuple[str, ...]
) -> Weights:
    """Name averages that are a list, once all shapes prove that the order is the model's."""
    ties: set[int] = set()
    parameters = []
    for entry in wanted:
        if entry.kind == "parameter" and entry.tie not in ties:
            parameters.append(entry)
            ties |= {entry.tie} - {-1}
    shapes = [item.shape if isinstance(item, TensorNode) else None for item in items]
    if shapes != [entry.shape for entry in parameters]:
        why = (
            f"the averaged weights are a list of {len(items)} tensors without names, and their "
            f"shapes are not those of the model's {len(parameters)} parameters in order"
        )
        return Weights(source, None, why)
    node = MapNode(zip([entry.name for entry in parameters], items, strict=True))
    told = "the averaged weights have no names: every shape agrees with the model's order"
    return Weights(source, node, "", (*notes, told))
