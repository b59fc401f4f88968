"""Which weights of a checkpoint fill a module: the raw ones, or the averaged ones."""

from __future__ import annotations

from typing import NamedTuple

from ckptkit.match.values import Entry
from ckptkit.nodes import MapNode, Node, SeqNode, TensorNode
from ckptkit.verbs.restoring.planned import Request

MODEL = "model"
AVERAGES = "ema"


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
    listed = ", ".join(str(key) for key in document) or "none"
    return Weights(name, None, f"the checkpoint has no section of this name; it has {listed}")


def _averaged(name: str, document: MapNode, wanted: tuple[Entry, ...], request: Request) -> Weights:
    ema = document.get(AVERAGES)
    if not isinstance(ema, MapNode):
        return Weights(AVERAGES, None, "the checkpoint has no averaged weights")
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
