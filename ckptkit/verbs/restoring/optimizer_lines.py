"""What a report says of an optimizer's parameters and their state."""

from __future__ import annotations

from ckptkit.match.values import Shape
from ckptkit.nodes import GlobalName, Node, Record, TensorNode
from ckptkit.report.values import Line
from ckptkit.tree import walk
from ckptkit.verbs.restoring.optimizer_match import Matched
from ckptkit.verbs.restoring.stored_optimizer import StoredOptimizer
from ckptkit.wrappers import differ_by_wrappers

#: State that is a mean of squares: what underflows to 0 in half precision divides by nearly 0.
SECOND_MOMENTS = ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "variance", "row_var", "col_var",
                  "sum", "exp_inf", "acc_delta")  # fmt: skip
_HALF = ("float16", "bfloat16")
_KNOWN_RECORDS = ("_rebuild_sparse_tensor", "_rebuild_parameter", "_rebuild_parameter_with_state")


def parameter_lines(matched: Matched) -> tuple[Line, ...]:
    """One line for every parameter that did not simply take the state of its own name."""
    plan, stored = matched.plan, matched.source
    called = {number: name for number, name, _ in plan.called}
    known = {number: shape for number, _, shape in plan.called}
    old = [
        item.name or called.get(item.number) or f"parameter {item.number}"
        for item in matched.stored
    ]
    new = [item.name or f"parameter {item.number}" for item in matched.live]
    reshaped_old = {source for source, _ in plan.reshaped}
    reshaped_new = {target for _, target in plan.reshaped}
    lines = [
        Line("renamed", new[target], old[source], nbytes=_nbytes(stored, source))
        for source, target in plan.pairs
        if matched.stored[source].name and matched.live[target].name
        if not differ_by_wrappers(old[source], new[target])
    ]
    for source, target in plan.reshaped:
        shapes = (matched.stored[source].shape or known.get(source), matched.live[target].shape)
        told = f"{_shape(shapes[0])} in the file, {_shape(shapes[1])} in the model"
        lines.append(Line("fresh", new[target], detail=told))
        lines.append(Line("dropped", old[source], detail=told, nbytes=_nbytes(stored, source)))
    lines += [Line("fresh", new[n]) for n in plan.fresh if n not in reshaped_new]
    lines += [
        Line("dropped", old[n], nbytes=_nbytes(stored, n))
        for n in plan.dropped
        if n not in reshaped_old
    ]
    lines += [
        Line("dropped", str(key), detail="state of no parameter of any group")
        for key, _ in stored.loose
        if not isinstance(key, str)
    ]
    return tuple(lines)


def lossy_notes(matched: Matched) -> tuple[str, ...]:
    """Warn of second moments in half precision: what was lost at save is not in the file."""
    found: dict[tuple[str, str], int] = {}
    for source, _ in matched.plan.pairs:
        state = matched.source.states[source]
        for key, value in state.items() if state is not None else ():
            half = isinstance(value, TensorNode) and value.dtype.name in _HALF
            if half and key in SECOND_MOMENTS:
                word = (str(key), value.dtype.name)
                found[word] = found.get(word, 0) + 1
    return tuple(
        f"lossy: {key} of {count} parameters was saved as {dtype}; small values are 0 there, and "
        "the first steps may be far too large"
        for (key, dtype), count in found.items()
    )


def strange_state(matched: Matched) -> tuple[str, ...]:
    """Name the classes whose objects lie in the state: nobody here constructs them."""
    found: dict[str, str] = {}
    for source, _ in matched.plan.pairs:
        state = matched.source.states[source]
        for _, node in walk(state) if state is not None and _has_records(state) else ():
            if _is_strange(node):
                found.setdefault(_class_of(node), matched.stored[source].name or str(source))
    return tuple(
        f"the state of {name} holds an object of {kind}, which only its own code can make"
        for kind, name in found.items()
    )


def _has_records(state: Node) -> bool:
    plain = (type(None), bool, int, float, str, TensorNode)
    return any(not isinstance(value, plain) for value in state.values())


def _is_strange(node: Node) -> bool:
    if isinstance(node, GlobalName):
        return False
    known = isinstance(node, Record) and node.name.qualname in _KNOWN_RECORDS
    return isinstance(node, Record) and not known


def _class_of(node: Record) -> str:
    return node.name.text


def _nbytes(stored: StoredOptimizer, source: int) -> int:
    state = stored.states[source]
    values = state.values() if state is not None else []
    return sum(value.nbytes for value in values if isinstance(value, TensorNode))


def _shape(shape: Shape | None) -> str:
    return "unknown" if shape is None else str(list(shape))
