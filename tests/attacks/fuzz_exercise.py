"""What the fuzz does with every input: all that a user would."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

EDGE = 1 << 16  # bytes read at either end of a tensor that is longer than both


def exercise(path: Path, index: int) -> str:
    """Open, use, scan, and one verb more by the index. Says how far it went."""
    from ckptkit.errors import CkptkitError
    from ckptkit.verbs import open as opening
    from ckptkit.verbs import scan as scanning

    outcome = "opened"
    try:
        opened = opening.open_container(path)
        outcome = read_tree(opened.root)
        if index % 4 == 0:
            for _ in opened.checks():
                pass
        opened.close()
        if path.is_dir() or outcome == "opened":
            outcome = go_on(path, index)
    except CkptkitError as exc:
        outcome = exc.kind
        str(exc)
    try:
        scanning.scan(path)
    except CkptkitError as exc:
        str(exc)
    return outcome


def read_tree(root: Any) -> str:
    """Read every tensor and side file; the kind of the last error, or "opened"."""
    from ckptkit.containers.logical import logical_source
    from ckptkit.errors import CkptkitError
    from ckptkit.nodes import BlobNode, TensorNode
    from ckptkit.tree import path_text, walk

    outcome = "opened"
    for place, node in walk(root):
        path_text(place)
        try:
            if isinstance(node, TensorNode) and node.storage.source is not None:
                read_ends(logical_source(node))
            elif isinstance(node, BlobNode):
                read_ends(node.source)
        except CkptkitError as exc:
            outcome = exc.kind
    return outcome


def go_on(path: Path, index: int) -> str:
    """What a user does next with a file that opened: interpret, inspect, flatten, migrate it."""
    from ckptkit.errors import CkptkitError, DialectError
    from ckptkit.tree import equal, flatten, unflatten
    from ckptkit.verbs import inspect as inspecting
    from ckptkit.verbs import migrate as migrating
    from ckptkit.verbs import open as opening

    try:
        with opening.load(path) as checkpoint:
            if checkpoint.sealed is not None:
                read_tree(checkpoint.document)
            inspecting.survey(checkpoint)
            if index % 3 == 0:
                flat = flatten(checkpoint.document)
                again = unflatten(flat.tokens, flat.leaves)
                if not equal(checkpoint.document, again):
                    raise AssertionError("the tree is not what it was after flatten and unflatten")
    except DialectError as exc:
        return exc.kind
    if index % 16 == 1:
        target = path.parent / "migrated"
        try:
            migrating.migrate(path, target)
            with opening.load(target) as checkpoint:
                read_tree(checkpoint.document)
        except CkptkitError as exc:
            str(exc)
        finally:
            shutil.rmtree(target, ignore_errors=True)
        left = {item.name for item in path.parent.iterdir()} - {"mutant", "mutant.pt"}
        if left:
            raise AssertionError(f"left behind: {sorted(left)}")
    return "opened"


def read_ends(source: Any) -> None:
    """Read all bytes of a small source, both ends of a large one."""
    buffer = memoryview(bytearray(min(EDGE, source.nbytes)))
    source.read_into(0, buffer)
    source.read_into(source.nbytes - len(buffer), buffer)
    if EDGE < source.nbytes <= 16 * EDGE:
        for start in range(EDGE, source.nbytes - EDGE, EDGE):
            source.read_into(start, buffer)
