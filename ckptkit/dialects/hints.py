"""Hints for the report: what in a checkpoint will bite whoever resumes from it or moves it."""

from __future__ import annotations

from ckptkit.dialects.draft import Draft
from ckptkit.dialects.looks import fields
from ckptkit.nodes import Atom, MapNode, Node, SeqNode, TensorNode

#: How many values a hint looks at; it is a hint, not a proof.
MAX_LOOKS = 256


def tell_half_precision(draft: Draft, optimizer: Node, where: str) -> None:
    """Warn of an optimizer whose moments were rounded to half precision."""
    state = optimizer.get("state") if isinstance(optimizer, MapNode) else None
    if not isinstance(state, MapNode):
        return
    for slots in state.values()[:MAX_LOOKS]:
        for value in slots.values() if isinstance(slots, MapNode) else ():
            if isinstance(value, TensorNode) and value.dtype.name == "float16":
                draft.notice(
                    "warning", "half-optimizer",
                    "the optimizer's moments are float16: they were rounded when this was saved",
                    where,
                )  # fmt: skip
                return


def tell_absolute_paths(draft: Draft, node: Node, where: str) -> None:
    """Note paths that hold on one machine only (two levels down, a bounded number of values)."""
    found = _strings(node)
    paths = [text for text in found if _is_absolute(text)]
    if paths:
        draft.notice(
            "info", "absolute-path",
            f"absolute paths inside ({len(paths)}), such as {paths[0]!r}",
            where,
        )  # fmt: skip


def _strings(node: Node) -> list[str]:
    found: list[str] = []
    level = [node]
    for _ in range(3):
        below: list[Node] = []
        for one in level[:MAX_LOOKS]:
            named = fields(one)
            if isinstance(one, str):
                found.append(one)
            elif isinstance(one, Atom) and "Path" in one.kind:
                found += [arg for arg in one.args if isinstance(arg, str)]
            elif isinstance(one, SeqNode):
                below += one.items[:MAX_LOOKS]
            elif named is not None:
                below += named[0].values()[:MAX_LOOKS]
        level = below
    return found


def _is_absolute(text: str) -> bool:
    if len(text) > 4096 or "\n" in text:
        return False
    if text.startswith("/"):
        return len(text) > 1 and text.count("/") > 1
    return len(text) > 3 and text[0].isalpha() and text[1:3] in (":\\", ":/")
