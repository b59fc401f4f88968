"""Every place of a tree where a leaf stands, ties included; the tree is walked iteratively."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from ckptkit.nodes import Atom, MapNode, Node, Path, Record, SeqNode, TensorNode
from ckptkit.tree.parts import parts

_CONTAINERS = (MapNode, SeqNode, Record, Atom)


def leaf_places(root: Node, above: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Yield (path, leaf) for each scalar, atom, tensor and blob, in the order of the file.

    A tensor that stands at two places is yielded twice; a container is entered once, so that a
    cycle ends. Mapping keys are no leaves here; ``above`` is put before each path.
    """
    if not isinstance(root, _CONTAINERS) or type(root) is Atom:
        yield above, root
        return
    entered = {id(root)}
    stack = [parts(root)]
    lead: list[Path] = [above]  # the way to each open container; joined for a leaf alone
    while stack:
        for below, child in stack[-1]:
            if below[0] == ".keys" and len(below) == 2:
                continue
            kind = type(child)
            if kind is MapNode or kind is SeqNode or kind is Record:
                if id(child) not in entered:
                    entered.add(id(child))
                    stack.append(parts(child))
                    lead.append(below)
                    break
            else:
                yield tuple(chain(*lead, below)), child
        else:
            stack.pop()
            lead.pop()


def tensor_places(root: Node, above: Path = ()) -> list[tuple[Path, TensorNode]]:
    """List (path, tensor) for each place of a tensor."""
    return [(path, leaf) for path, leaf in leaf_places(root, above) if type(leaf) is TensorNode]
