"""Nested state and its flat form: walk it, print its places, flatten and rebuild it."""

from ckptkit.tree.equal import equal, first_difference
from ckptkit.tree.flatten import Flat, FlatSections, LeafBook, flatten, flatten_sections
from ckptkit.tree.paths import key_text, path_text
from ckptkit.tree.unflatten import unflatten
from ckptkit.tree.walk import walk

__all__ = [
    "Flat",
    "FlatSections",
    "LeafBook",
    "equal",
    "first_difference",
    "flatten",
    "flatten_sections",
    "key_text",
    "path_text",
    "unflatten",
    "walk",
]
