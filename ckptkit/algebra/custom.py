"""What the algebra cannot say: a pure function from state to state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ckptkit.algebra.operation import Action, Applied, Memo, Operation, State
from ckptkit.errors import CkptkitError, MigrationError
from ckptkit.nodes import Node
from ckptkit.tree import equal

Function = Callable[[State], State]


@dataclass(frozen=True, slots=True, repr=False)
class Custom(Operation):
    """A function of the whole state, and the one that takes it back, if there is one.

    A function takes names and nodes and returns names and nodes; it changes nothing that it was
    given and reads no tensor. What an optimizer keeps follows only the names whose tensor stayed
    the very same object.
    """

    forward: Function
    backward: Function | None = None

    def apply(self, state: State, memo: Memo | None = None) -> Applied:  # noqa: ARG002
        """Run the function; every name that changed is in some action. Raises: MigrationError."""
        try:
            made = self.forward(dict(state))
        except CkptkitError:
            raise
        except Exception as exc:
            raise MigrationError(str(self), f"failed: {type(exc).__name__}: {exc}") from exc
        if not all(type(name) is str for name in made):
            raise MigrationError(str(self), "makes a name that is no text", "names")
        return Applied(dict(made), tuple(_actions(state, made)))

    def inverse(self) -> Operation:
        """The other function. Raises: MigrationError if there is none."""
        if self.backward is None:
            raise self.refuse_inverse("nobody wrote the way back")
        return Custom(self.backward, self.forward)

    def for_optimizer(self) -> None:
        """A function knows nothing of optimizers."""

    def __repr__(self) -> str:
        return f"Custom({getattr(self.forward, '__name__', 'a function')})"


def _actions(state: State, made: State) -> list[Action]:
    """The same object under a new name was renamed; the rest changed, went, or is new."""
    kept = {name for name, node in state.items() if name in made and _same(made[name], node)}
    free = {id(n): name for name, n in made.items() if name not in kept and not _is_scalar(n)}
    actions, told = [], set(kept)
    for name, node in state.items():
        if name in kept:
            continue
        target = free.pop(id(node), None) if not _is_scalar(node) else None
        if target is None and name in made and name not in told:
            target = name  # another value, under the name it had
        actions.append(Action((name,), () if target is None else (target,)))
        told.update(actions[-1].targets)
    return [*actions, *(Action((), (name,)) for name in made if name not in told)]


def _is_scalar(node: Node) -> bool:
    return node is None or isinstance(node, (bool, int, float, complex, str, bytes))


def _same(one: Node, other: Node) -> bool:
    return one is other or (_is_scalar(one) and equal(one, other))
