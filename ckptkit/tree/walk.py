"""Every place of a tree, in order."""

from __future__ import annotations

from collections.abc import Iterator

from ckptkit.errors import LimitExceededError
from ckptkit.nodes import Atom, BlobNode, GlobalName, MapNode, Node, Path, PathKey, TensorNode
from ckptkit.tree.parts import ATTRS, SCALARS, Part, attribute_parts, parts

_LEAVES = frozenset({*SCALARS, GlobalName})
# Building the paths costs their lengths; a hostile tree has many nodes below many levels.
MAX_PATH_STEPS = 250_000_000  # a chain of 20,000 levels needs 200,000,000


def walk(node: Node) -> Iterator[tuple[Path, Node]]:
    """Yield ``(path, node)`` in preorder: leaves at every place, containers at their first.

    Attributes are at "._metadata" and the like, the parts of a Record at ".args", ".kwargs",
    ".states", ".state", ".items" and ".entries", what a tensor carries at ".extra". The keys of
    a mapping are no places of their own unless they are compound: those are at (".keys", i).
    Neither are the plain arguments of an Atom. The tree must not change meanwhile.
    Raises: LimitExceededError for a tree whose paths are absurdly long all together.
    """
    met: set[int] = set()
    here: list[PathKey] = []
    n_steps = 0
    frames: list[tuple[Iterator[Part], int, type]] = [(iter([((), node)]), 0, type(None))]
    while frames:
        children, length, parent = frames[-1]
        for sub, child in children:
            kind = type(child)
            n_steps += len(here)
            if n_steps > MAX_PATH_STEPS:
                raise _absurd(n_steps)
            if kind in _LEAVES:
                if parent is not Atom and (parent is not MapNode or len(sub) == 1):
                    yield (*here, *sub), child
                continue
            is_new = id(child) not in met
            if sub is not ATTRS and (is_new or kind is TensorNode or kind is BlobNode):
                yield (*here, *sub), child
            if is_new:
                met.add(id(child))
                frames.append(_frame(child, sub))
                here.extend(sub if sub is not ATTRS else ())
                break
        else:
            frames.pop()
            del here[len(here) - length :]


def _absurd(n_steps: int) -> LimitExceededError:
    return LimitExceededError(
        "tree", f"paths of {n_steps} steps in all", f"at most {MAX_PATH_STEPS}",
        "no honest checkpoint nests like this",
    )  # fmt: skip


def _frame(node: Node, sub: Path) -> tuple[Iterator[Part], int, type]:
    if sub is ATTRS:  # attributes are places of their owner
        return attribute_parts(node), 0, MapNode
    return parts(node), len(sub), type(node)
