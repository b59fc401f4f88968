"""What one call of ``inspect`` shows: the survey, and the tensors, tree and figures asked for."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from fnmatch import translate
from typing import NamedTuple

from ckptkit.cli.human import size_text
from ckptkit.cli.progress import meter
from ckptkit.errors import MismatchError
from ckptkit.nodes import Node
from ckptkit.tree.paths import escape_text, key_text
from ckptkit.verbs.inspect import Inspection, Place
from ckptkit.verbs.open import Checkpoint
from ckptkit.verbs.outline import OutlineRow, outline

_MAX_KEY_CHARS = 4096  # a name is told whole, unless nobody could mean it
_SLOW_NBYTES = 64_000_000  # without numpy these take several seconds
_MAX_COMPARED = 5000
_MAX_NEAR = 3


class View(NamedTuple):
    """What was asked for beside the survey."""

    tensors: str | None
    tree: bool
    section: str | None
    stats: bool
    every: bool
    depth: int


class TensorRow(NamedTuple):
    """One tensor of the list; ``figures`` only with ``--stats``."""

    section: str
    name: str
    place: Place
    tied_to: str
    figures: object = None


class Shown(NamedTuple):
    """Everything that is rendered, as a table or as JSON."""

    inspection: Inspection
    view: View
    container_title: str
    rows: tuple[TensorRow, ...] | None
    tree: tuple[OutlineRow, ...] | None


def make_view(checkpoint: Checkpoint, inspection: Inspection, view: View) -> Shown:
    """Gather what was asked for while the checkpoint is open. Raises: MismatchError."""
    rows = tree = None
    names = [str(name) for name in checkpoint.document]
    if view.section is not None and view.section not in names:
        raise MismatchError(
            checkpoint.path, f"has no section {view.section!a}", f"one of: {', '.join(names)}",
            "name another with --section",
        )  # fmt: skip
    only_section = view.section is not None and view.tensors is None and not view.stats
    if view.tensors is not None or view.stats:
        rows = _tensor_rows(inspection, view)
        if view.stats:
            rows = _with_figures(rows)
    if view.tree or only_section:
        name = escape_text(view.section or "")
        root = _tree_root(checkpoint, view)
        tree = tuple(outline(root, view.depth, every=view.every, called=name))
    return Shown(inspection, view, _title(inspection.container), rows, tree)


def _title(name: str) -> str:
    from ckptkit.hooks.manager import containers

    return next((part.title for part in containers() if part.name == name), name)


def _tree_root(checkpoint: Checkpoint, view: View) -> Node:
    if view.section is not None:
        return checkpoint.document[view.section]
    sealed = checkpoint.verdict is None  # its own tree is the manifest's bytes
    return checkpoint.document if sealed else checkpoint.opened.root


def _tensor_rows(inspection: Inspection, view: View) -> tuple[TensorRow, ...]:
    """The tensors whose name matches, a tie naming the place that it is tied to."""
    first: dict[object, str] = {}
    rows = []
    pattern = re.compile(translate(view.tensors or "*"))
    for place in inspection.places:
        name = place_name(place)
        full = f"{place.section}/{name}"
        tied_to = first.setdefault(place.tensor.same_view(), full)
        if view.section is not None and place.section != view.section:
            continue
        if pattern.match(name) or pattern.match(full) or pattern.match(f"{place.section}.{name}"):
            rows.append(TensorRow(place.section, name, place, "" if tied_to == full else tied_to))
    return tuple(rows)


def place_name(place: Place) -> str:
    """The name of a tensor in its section: dots inside a key stay, levels are divided by "/"."""
    return "/".join(
        escape_text(key[:_MAX_KEY_CHARS], "/") if type(key) is str else key_text(key)
        for key in place.path
    )


def _with_figures(rows: Sequence[TensorRow]) -> tuple[TensorRow, ...]:
    from ckptkit.verbs.statistics import tensor_statistics

    total = sum(row.place.tensor.nbytes for row in rows if not row.tied_to and _has_figures(row))
    _warn_if_slow(total)
    # The histogram needs the extremes first, so every tensor is read twice.
    with meter("reading tensors, twice each", 2 * total) as shown:
        return tuple(
            row if row.tied_to
            else row._replace(figures=tensor_statistics(row.place.tensor, shown.advance))
            for row in rows
        )  # fmt: skip


def _has_figures(row: TensorRow) -> bool:
    tensor = row.place.tensor
    return tensor.storage.source is not None and not tensor.numpy_dtype and tensor.dtype.kind != "x"


def _warn_if_slow(nbytes: int) -> None:
    from importlib.util import find_spec

    if nbytes > _SLOW_NBYTES and find_spec("numpy") is None:
        told = f"numpy is not installed: reading {size_text(nbytes)} takes about ten times longer"
        sys.stderr.write(f"note: {told}\n")


def nearest_names(inspection: Inspection, glob: str) -> list[str]:
    """Names of tensors that somebody who wrote ``glob`` may have meant."""
    from difflib import get_close_matches

    names = [f"{place.section}/{place_name(place)}" for place in inspection.places[:_MAX_COMPARED]]
    words = [word for word in re.split(r"[*?\[\]/]+", glob) if len(word) > 1]
    holding = [name for name in names if any(word in name for word in words)]
    near = get_close_matches(glob.strip("*"), names, _MAX_NEAR, 0.3)
    return (near or holding or names)[:_MAX_NEAR]
