"""Nested state and its flat form: walk it, print its places, flatten and rebuild it.

The two ways between nodes and live Python load on first use: readers never need them.
"""

from typing import TYPE_CHECKING, Any

from ckptkit.tree.equal import equal, first_difference
from ckptkit.tree.flatten import Flat, FlatSections, LeafBook, flatten, flatten_sections
from ckptkit.tree.navigate import resolve
from ckptkit.tree.paths import escape_text, key_text, path_text
from ckptkit.tree.unflatten import unflatten
from ckptkit.tree.walk import walk

if TYPE_CHECKING:
    from ckptkit.tree.to_node import to_node
    from ckptkit.tree.to_python import to_python

__all__ = [
    "Flat",
    "FlatSections",
    "LeafBook",
    "equal",
    "escape_text",
    "first_difference",
    "flatten",
    "flatten_sections",
    "key_text",
    "path_text",
    "resolve",
    "to_node",
    "to_python",
    "unflatten",
    "walk",
]


def __getattr__(name: str) -> Any:
    if name not in ("to_node", "to_python"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{name}"), name)
    globals()[name] = value  # after the import, which puts the submodule under this very name
    return value
