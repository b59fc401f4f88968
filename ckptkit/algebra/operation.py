"""What an operation is: names and lazy tensors in, names and lazy tensors out.

Every operation expands over a state into **actions**: these names become those. Everything that
holds for all operations is here: no name is lost or overwritten, and what can be taken back is
taken back to exactly what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple

from ckptkit.algebra.spelling import spelled_call
from ckptkit.errors import MigrationError
from ckptkit.nodes import Node, TensorNode

State = Mapping[str, Node]
#: What was made of what, so that tied tensors become tied ones. The sources are kept with it:
#: the key has their identities, which must not be given to others meanwhile.
Memo = dict[Any, tuple[tuple[Node, ...], tuple[Node, ...]]]
_MAX_SHOWN = 3
_MARKS = ("optional", "one_way", "untie")  # of who may do what, not of what is done


class Action(NamedTuple):
    """``sources`` are consumed, ``targets`` are there instead, each name with its own node."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]


class Applied(NamedTuple):
    """The new state, and what was done, action by action; names in no action are as they were."""

    state: dict[str, Node]
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Operation:
    """One change of a state. Values: equal fields, equal operations.

    ``optional``: it is no error if no name matches. ``one_way``: nobody need take it back, so it
    is not checked that one could. ``untie``: tied tensors of which it changes some are tied no
    more from here on, which is refused otherwise. Subclasses say ``actions``, ``make`` and
    ``inverse``.
    """

    optional: bool = field(default=False, kw_only=True)
    one_way: bool = field(default=False, kw_only=True)
    untie: bool = field(default=False, kw_only=True)

    #: Fields that say which names are meant, not what is done to them.
    NAMED: ClassVar[tuple[str, ...]] = ()

    def actions(self, state: State) -> list[Action]:
        """Say which names it takes and which it makes. Raises: MigrationError."""
        raise NotImplementedError

    def make(self, where: str, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """Return the targets' nodes; ``where`` is for errors. Reads nothing. Pure."""
        raise NotImplementedError

    def inverse(self) -> Operation:
        """Return the operation that takes it back. Raises: MigrationError if there is none."""
        raise self.refuse_inverse("it does not keep what it takes away")

    def for_optimizer(self) -> Operation | None:
        """The same for the tensors that an optimizer keeps beside a parameter.

        None: nothing of it concerns them, and they stay as they are.
        """
        return self

    def apply(self, state: State, memo: Memo | None = None) -> Applied:
        """Run it. ``state`` stays as it is; no tensor is read.

        Raises: MigrationError, which names the operation, the tensor, what it is and what it
        should be.
        """
        actions = self.actions(state)
        if not actions and not self.optional:
            raise MigrationError(
                str(self), f"none of the {len(state):,} names is meant{_nearby(state)}",
                "at least one", "say optional=True if it may have nothing to do",
            )  # fmt: skip
        _check_names(self, state, actions)
        said = str(self)
        made = {action: self._made(state, action, memo, said) for action in actions}
        result = _placed(state, made)
        if not self.one_way:
            self._check_way_back(result, actions)
        return Applied(result, tuple(actions))

    def _made(self, state: State, action: Action, memo: Memo | None, said: str) -> tuple[Node, ...]:
        nodes = tuple(state[name] for name in action.sources)
        key = self._recipe(nodes)
        if memo is None or key is None:
            return self.make(f"{said}: {_told(action)}", nodes)
        if key not in memo:
            memo[key] = nodes, self.make(f"{said}: {_told(action)}", nodes)
            return memo[key][1]
        return tuple(_retied(old, nodes) for old in memo[key][1])

    def _recipe(self, nodes: tuple[Node, ...]) -> Any:
        """Equal for two actions that make the same tensors; None where that cannot be said."""
        if not nodes or not all(isinstance(node, TensorNode) for node in nodes):
            return None
        said = [f.name for f in fields(self) if f.name not in (*self.NAMED, *_MARKS)]
        values = repr([getattr(self, name) for name in said])  # 0.0 is not -0.0
        views = tuple(node.same_view() for node in nodes)
        return type(self), values, views

    def _check_way_back(self, state: State, actions: Sequence[Action]) -> None:
        """Taking it back must take exactly what it made. Raises: MigrationError."""
        try:
            inverse = self.inverse()
        except MigrationError:
            return  # whoever goes back is told then
        back = {Action(b.targets, b.sources) for b in inverse.actions(state)}
        wrong = next(iter(back.symmetric_difference(actions)), None)
        if wrong is not None:
            raise MigrationError(
                str(self),
                f"cannot be taken back: {inverse} would "
                + ("also take " if wrong in back else "not take ")
                + ", ".join(wrong.targets[:_MAX_SHOWN]),
                "new names that only this operation makes",
                "choose a narrower pattern, or say one_way=True if nobody need go back",
            )

    def refuse_inverse(self, why: str) -> MigrationError:
        """Return the error for whoever wants to go back."""
        return MigrationError(str(self), f"cannot be taken back: {why}")

    def __repr__(self) -> str:
        """The code that makes it."""
        said = [(f.name, getattr(self, f.name), f.default) for f in fields(self) if not f.kw_only]
        marks = {f.name: True for f in fields(self) if f.kw_only and getattr(self, f.name)}
        return spelled_call(type(self).__name__, said, marks)


def _retied(old: Node, nodes: tuple[Node, ...]) -> Node:
    first = nodes[0]
    if isinstance(old, TensorNode) and isinstance(first, TensorNode):
        return replace(old, flavour=first.flavour, requires_grad=first.requires_grad)
    return old


def _told(action: Action) -> str:
    names = action.sources or action.targets
    more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more


def _nearby(state: State) -> str:
    shown = ", ".join(list(state)[:_MAX_SHOWN])
    return f" ({shown}{', ...' if len(state) > _MAX_SHOWN else ''})" if state else ""


def _check_names(operation: Operation, state: State, actions: Sequence[Action]) -> None:
    """No name is taken twice, none is missing, none is overwritten. Raises: MigrationError."""
    taken: set[str] = set()
    made: set[str] = set()
    for action in actions:
        for name in action.sources:
            if name not in state:
                raise MigrationError(
                    str(operation), f"{_told(action)} needs {name}, which is not there",
                    "every tensor of a family",
                )  # fmt: skip
            if name in taken:
                raise MigrationError(str(operation), f"takes {name} twice", "each name once")
            taken.add(name)
        for name in action.targets:
            if name in made:
                raise MigrationError(str(operation), f"makes {name} twice", "each name once")
            made.add(name)
    kept = sorted(name for name in made - taken if name in state)
    if kept:
        raise MigrationError(
            str(operation), f"makes {kept[0]}, which is there already", "a name that is free",
            "drop or rename the old one first",
        )  # fmt: skip


def _placed(state: State, made: Mapping[Action, tuple[Node, ...]]) -> dict[str, Node]:
    """What an action makes stands where its first source stood; what has none, at the end."""
    first = {action.sources[0]: action for action in made if action.sources}
    gone = {name for action in made for name in action.sources}
    result: dict[str, Node] = {}
    for name, node in state.items():
        if name in first:
            result.update(zip(first[name].targets, made[first[name]], strict=True))
        elif name not in gone:
            result[name] = node
    for action, nodes in made.items():
        if not action.sources:
            result.update(zip(action.targets, nodes, strict=True))
    return result
