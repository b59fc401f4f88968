"""A bare state_dict: names and tensors, in whatever wrapping, and nothing else."""

from __future__ import annotations

from ckptkit.dialects.draft import Draft
from ckptkit.dialects.looks import is_averaged_model, is_state_dict
from ckptkit.dialects.prefixes import describe, strip_wrappers
from ckptkit.dialects.weights import find_weights, place_averaged, place_weights
from ckptkit.nodes import MapNode
from ckptkit.protocols import Move, Reading, Recognition, SourceView
from ckptkit.tree import path_text
from ckptkit.types import Notice

_LACKS = Notice(
    "info", "weights-only",
    "no optimizer state is in it: training can start from these weights, not resume",
)  # fmt: skip


class Bare:
    """Version 0: the mapping of names to tensors that ``model.state_dict()`` gives."""

    name = "bare"
    title = "Bare state_dict"

    def recognise(self, view: SourceView) -> Recognition | None:
        """50 where every value is a tensor; also inside wrappers that hold nothing else."""
        root = view.root
        if is_averaged_model(root):
            return Recognition(52, ("n_averaged beside module.* names: an AveragedModel",))
        if is_state_dict(root):
            return Recognition(
                50, (f"{len(root)} names of tensors, no other keys", *_wrapping(root))
            )
        if isinstance(root, MapNode) and len(root) == 1 and (found := find_weights(root, ())):
            return Recognition(
                50, (f"nothing but a state_dict, under {path_text(found[0].path)!r}",)
            )
        return None

    def interpret(self, view: SourceView) -> Reading:
        """Take the wrappers off: version 0 for plain weights, version 1 where they lie deeper."""
        root = view.root
        if is_state_dict(root) and not is_averaged_model(root):
            return _plain(root)
        draft = Draft(view)
        if is_averaged_model(root):
            place_averaged(draft, ())
            draft.notice("warning", "ema-only", "only averaged weights are in it")
        else:
            found = find_weights(root, ())
            for weights in found:
                target = ("model",) if len(found) == 1 else ("model", weights.role)
                place_weights(draft, weights, target)
        draft.notices.append(_LACKS)
        return draft.reading()


def _wrapping(root: MapNode) -> tuple[str, ...]:
    renamed = strip_wrappers([str(key) for key in root])
    return (describe(renamed),) if renamed else ()


def _plain(root: MapNode) -> Reading:
    renamed = strip_wrappers([str(key) for key in root])
    document = root
    if renamed:
        pairs = ((renamed.get(name, name), value) for name, value in root.items())
        document = MapNode(pairs, root.kind, root.attrs)
        document.factory = root.factory
    note = describe(renamed) if renamed else ""
    move = Move((), (), renamed or None, note)
    return Reading(version=0, document=document, moves=(move,), notices=(_LACKS,))
