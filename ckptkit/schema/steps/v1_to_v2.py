"""Version 1, a training dict, becomes the sections of version 2.

Source: docs/format.md sections "Version 1" and "Sections (v2)".
"""

from __future__ import annotations

import struct

from ckptkit.nodes import Atom, MapNode, Node, SeqNode
from ckptkit.protocols import Move
from ckptkit.schema.stepping import Stepped, step

_VERBATIM = (
    "model", "optimizer", "scheduler", "scaler", "rng", "data", "history", "config", "trackers",
    "provenance",
)  # fmt: skip
_ORDER = (
    "model", "ema", "optimizer", "scheduler", "scaler", "rng", "data", "progress", "metrics",
    "history", "config", "trackers", "provenance", "extra",
)  # fmt: skip
_COUNTED = ("epoch", "step", "samples")
_KNOWN = (*_VERBATIM, *_COUNTED, "ema", "epoch_means", "step_means", "metrics", "best", "extra")
# What has to be added to the stored number to get how many were completed.
_EPOCHS_DONE = {"completed": 0, "next": 0, "last": 1}
_STEPS_DONE = {"completed": 0, "last": 1}
_MAX_COUNT = 1 << 64
_STRUCT_CODES = {
    "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip


@step(1, 2)
def sort_into_sections(old: MapNode) -> Stepped:
    """Every key of the training dict goes to its section, unknown ones to ``extra``. Lossless."""
    sections: dict[str, Node] = {}
    moves: list[Move] = []
    for name in _VERBATIM:
        if name in old:
            sections[name] = old[name]
            moves.append(Move((name,), (name,)))
    for place in (_ema, _progress, _metrics, _extra):
        place(old, sections, moves)
    document = MapNode([(name, sections[name]) for name in _ORDER if name in sections])
    return Stepped(document, tuple(moves))


def _ema(old: MapNode, sections: dict[str, Node], moves: list[Move]) -> None:
    """A mapping that has its weights apart stays; bare weights go below ``weights``."""
    if "ema" not in old:
        return
    ema = old["ema"]
    # A model may have a parameter of this name; the weights of a whole model are a collection.
    if type(ema) is MapNode and type(ema.get("weights")) in (MapNode, SeqNode):
        sections["ema"] = ema
        moves.append(Move(("ema",), ("ema",)))
    else:
        sections["ema"] = MapNode({"weights": ema})
        moves.append(Move(("ema",), ("ema", "weights")))


def _progress(old: MapNode, sections: dict[str, Node], moves: list[Move]) -> None:
    """Counts are normalised where their meaning is known; what was stored is kept beside."""
    stored = {name: old[name] for name in _COUNTED if name in old}
    meanings = {name: old[name] for name in ("epoch_means", "step_means") if name in old}
    if not stored and not meanings:
        return
    progress: dict[str, Node] = {}
    epochs = _count(stored.get("epoch"), _EPOCHS_DONE, meanings.get("epoch_means"))
    steps = _count(stored.get("step"), _STEPS_DONE, meanings.get("step_means"))
    samples = _count(stored.get("samples"), {"completed": 0}, "completed")
    known = {"epochs_completed": epochs, "optimizer_steps": steps, "samples": samples}
    progress.update((name, value) for name, value in known.items() if value is not None)
    progress["as_stored"] = MapNode(stored)
    progress.update(meanings)
    sections["progress"] = MapNode(progress)
    moves.extend(Move((name,), ("progress", "as_stored", name)) for name in stored)
    moves.extend(Move((name,), ("progress", name)) for name in meanings)


def _count(value: Node, offsets: dict[str, int], means: Node) -> int | None:
    """Return how many were completed; None where nobody can say. Digits in a string count."""
    value = _number(value)
    if type(value) is str and len(value) <= 18 and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not -_MAX_COUNT < value < _MAX_COUNT:
        return None
    if type(means) is not str or means not in offsets:
        return None
    done = value + offsets[means]
    return done if done >= 0 else None


def _number(value: Node) -> Node:
    """Return the plain number of a numpy scalar; whatever else it is as it is."""
    if type(value) is not Atom or value.kind != "numpy.scalar" or len(value.args) != 2:
        return value
    text, content = value.args
    if type(text) is not str or type(content) is not bytes:
        return value
    code = _STRUCT_CODES.get(text.lstrip("<>|="), "")
    if not code or len(text) > 3 or len(content) != struct.calcsize(f"<{code}"):
        return value
    return struct.unpack(f"{'>' if text[0] == '>' else '<'}{code}", content)[0]


def _metrics(old: MapNode, sections: dict[str, Node], moves: list[Move]) -> None:
    metrics: dict[str, Node] = {}
    for name, target in (("metrics", "latest"), ("best", "best")):
        if name in old:
            metrics[target] = old[name]
            moves.append(Move((name,), ("metrics", target)))
    if "best" in metrics:
        metrics["best"] = _best(metrics["best"], moves)
    if metrics:
        sections["metrics"] = MapNode(metrics)


def _best(best: Node, moves: list[Move]) -> Node:
    """Show the numbers of numpy scalars; what was stored is kept below ``as_stored``."""
    if type(best) is not MapNode or best.kind != "dict" or best.attrs or "as_stored" in best:
        return best
    stored = {
        name: best[name]
        for name in ("value", "epoch")
        if name in best and _number(best[name]) is not best[name]
    }
    if not stored:
        return best
    moves.extend(Move(("best", name), ("metrics", "best", "as_stored", name)) for name in stored)
    shown = [(key, _number(node) if key in stored else node) for key, node in best.items()]
    return MapNode([*shown, ("as_stored", MapNode(stored))])


def _extra(old: MapNode, sections: dict[str, Node], moves: list[Move]) -> None:
    """The old ``extra`` stays what it was; keys that version 1 does not know join it."""
    unknown = [(key, value) for key, value in old.items() if not _is_known(key)]
    if "extra" in old and not unknown:
        sections["extra"] = old["extra"]
        moves.append(Move(("extra",), ("extra",)))
        return
    if "extra" in old:
        unknown.insert(0, ("extra", old["extra"]))
    if unknown:
        sections["extra"] = MapNode(unknown)
        moves.extend(Move((key,), ("extra", key)) for key, _ in unknown)


def _is_known(key: Node) -> bool:
    return type(key) is str and key in _KNOWN
