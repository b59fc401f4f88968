"""What the tensors that an optimizer keeps tell of the parameter that they are kept for."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ckptkit.match.values import LiveParameter, Shape, StoredParameter

#: State that always has its parameter's own shape. Source: torch.optim; sum is Adagrad's, ax is
#: ASGD's, prev and step_size are Rprop's.
FULL = (
    "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "momentum_buffer", "square_avg",
    "grad_avg", "acc_delta", "sum", "ax", "prev",
)  # fmt: skip


def has_state(parameter: StoredParameter) -> bool:
    """Tell whether a tensor is kept for it."""
    return bool(parameter.state_shapes)


def broad(parameter: StoredParameter) -> list[tuple[str, Shape]]:
    """Return the state tensors that are more than one number; a step count is not."""
    return [(key, s) for key, s in parameter.state_shapes.items() if any(n != 1 for n in s)]


def known_shape(parameter: StoredParameter, shapes: Collection[Shape]) -> Shape | None:
    """Return its shape: as stored, or as its state tells; None where nothing tells.

    ``shapes`` are those that parameters have: an equal shape of all state is believed only if it
    is one of them, since LBFGS keeps all parameters as one long vector with the first.
    """
    if parameter.shape is not None:
        return parameter.shape
    for key in FULL:
        if (shape := parameter.state_shapes.get(key)) is not None:
            return shape
    found = {shape for _, shape in broad(parameter)}
    return found.pop() if len(found) == 1 and found <= set(shapes) else None


def may_have(parameter: StoredParameter, shape: Shape) -> bool:
    """Tell whether nothing speaks against a parameter of this shape."""
    known = known_shape(parameter, (shape,))
    return known == shape if known is not None else not is_foreign(parameter, shape)


def is_foreign(parameter: StoredParameter, shape: Shape) -> bool:
    """Tell whether the state cannot be that of one parameter of this shape.

    A factored state (Adafactor's rows and columns, Shampoo's squares) has sizes of its parameter;
    one vector over all parameters has not.
    """
    sizes = {1, *shape}
    tensors = broad(parameter)
    return bool(tensors) and not any(sizes.issuperset(own) for _, own in tensors)


def is_orderless(stored: Iterable[StoredParameter], live: Iterable[LiveParameter]) -> bool:
    """Tell whether no state could be given to a wrong parameter, as after SGD without momentum."""
    items = list(stored)
    if not any(map(has_state, items)):
        return True
    if any(map(broad, items)):
        return False
    return all(any(size != 1 for size in item.shape) for item in live)


def described(parameter: StoredParameter) -> str:
    """``number 3 (exp_avg [64, 64])``, for sentences."""
    key, shape = next(iter(broad(parameter) or parameter.state_shapes.items()), ("", ()))
    who = parameter.name or f"number {parameter.number}"
    return f"{who} ({key} {list(shape)})" if key else who
