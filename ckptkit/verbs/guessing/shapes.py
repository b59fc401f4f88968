"""Names that stayed while their shapes changed."""

from __future__ import annotations

from collections.abc import Callable

from ckptkit.algebra import Operation, Pad, Reshape, Slice, Transpose
from ckptkit.verbs.guessing.draft import Draft
from ckptkit.verbs.guessing.families import any_of, generalised

Shape = tuple[int, ...]


def find_shapes(draft: Draft) -> None:
    """Take up what can be only one thing; ask about the rest."""
    changed = [
        (item.source, item.stored, item.wanted)
        for item in draft.plan().mismatched
        if item.source == item.target
    ]
    alike: dict[str, list[tuple[str, Shape, Shape]]] = {}
    for row in changed:
        alike.setdefault(_relation(row[1], row[2]), []).append(row)
    for relation, rows in alike.items():
        if relation == "transposed":
            _transposed(draft, [name for name, _, _ in rows])
        else:
            _other(draft, relation, rows)


def _relation(old: Shape, new: Shape) -> str:
    if len(old) == len(new) == 2 and old == new[::-1]:
        return "transposed"
    if [n for n in old if n != 1] == [n for n in new if n != 1]:
        return "squeezed"
    if len(old) == len(new) and all(b >= a for a, b in zip(old, new, strict=True)):
        return "longer"
    if len(old) == len(new) and all(b <= a for a, b in zip(old, new, strict=True)):
        return "shorter"
    return "other"


def _patterns(draft: Draft, names: list[str]) -> list[str]:
    rows = generalised([(name,) for name in names], draft.state)
    exact = [row[0] for row in rows if "(" not in row[0]]
    return [*(row[0] for row in rows if "(" in row[0]), *([any_of(exact)] if exact else [])]


def _transposed(draft: Draft, names: list[str]) -> None:
    for pattern in _patterns(draft, names):
        draft.accept(Transpose(pattern), "shapes turned round, as between Conv1D and Linear")
    near = {name.rpartition(".")[0].rpartition(".")[0] for name in names}
    square = [
        name
        for name in draft.state
        if name not in names
        and name in draft.wanted
        and any(name.startswith(f"{above}.") or not above for above in near)
        and len(set(draft.shape(name))) == 1
        and len(draft.shape(name)) == 2
    ]
    for pattern in _patterns(draft, square) if square else []:
        text = "square tensors beside transposed ones: their shapes cannot tell. Turned round, too?"
        draft.ask(text, Transpose(pattern))


def _other(draft: Draft, relation: str, rows: list[tuple[str, Shape, Shape]]) -> None:
    """One operation for all names whose shapes changed alike."""
    same: dict[tuple[Shape, Shape], list[str]] = {}
    for name, old, new in rows:
        same.setdefault((old, new), []).append(name)
    for (old, new), names in same.items():
        for pattern in _patterns(draft, names):
            told = f"{pattern}: {list(old)} in the checkpoint, {list(new)} in the model"
            make = _ANSWERS.get(relation)
            if relation == "squeezed":
                draft.accept(Reshape(pattern, new, old), "the same elements, axes of length 1")
            elif make is not None:
                text, operation = make(pattern, old, new)
                draft.ask(f"{told}. {text}", operation)
            elif _product(old) == _product(new):
                draft.ask(f"{told}. The same elements in this order?", Reshape(pattern, new, old))
            else:
                draft.ask(f"{told}. Nothing leads from one to the other that shapes could tell")


def _longer(pattern: str, old: Shape, new: Shape) -> tuple[str, Operation]:
    amounts = tuple((0, b - a) if b > a else None for a, b in zip(old, new, strict=True))
    while amounts and amounts[-1] is None:
        amounts = amounts[:-1]
    return "Are zeros at the end right? (value=..., Normal(seed=...))", Pad(pattern, amounts)


def _shorter(pattern: str, old: Shape, new: Shape) -> tuple[str, Operation]:
    ranges = tuple((0, b) if b < a else None for a, b in zip(old, new, strict=True))
    while ranges and ranges[-1] is None:
        ranges = ranges[:-1]
    return "May the end be cut off? There is no way back", Slice(pattern, ranges)


_ANSWERS: dict[str, Callable[[str, Shape, Shape], tuple[str, Operation]]] = {
    "longer": _longer,
    "shorter": _shorter,
}


def _product(shape: Shape) -> int:
    result = 1
    for size in shape:
        result *= size
    return result
