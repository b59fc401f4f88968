"""A dict as ``torch.save`` used to get it: its usual names become the sections of version 2."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ckptkit.dialects.sorting import Found, sort_keys
from ckptkit.dialects.synonyms import SYNONYMS, sense_of
from ckptkit.dialects.training_dict import TrainingDict
from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.protocols import Move, SourceView
from ckptkit.schema import compose_moves, run_chain
from ckptkit.schema.validate import SECTION_VERSIONS
from ckptkit.tree.paths import path_text
from ckptkit.types import Notice
from ckptkit.verbs.saving.renamed import RENAMED

_VERBATIM = ("model", "optimizer", "scheduler", "scaler")
_COUNTERS = ("epoch", "step", "samples")
# What the chain from version 1 makes of a word, and where it goes then.
_TARGETS = {"ema": "ema", "best": "metrics"} | dict.fromkeys(_COUNTERS, "progress")
#: Networks that a script may have several of: their names are their own.
_OWN_NAMES = frozenset(["student", "teacher", "backbone", "module", "params", "g_ema"])
_TOLD_OF_COUNTS = frozenset(["epoch-meaning"])


class Arranged(NamedTuple):
    """A document whose usual names are sections, and what is to be said of it."""

    document: MapNode
    notices: tuple[Notice, ...] = ()


def usual_names(names: Collection[str]) -> frozenset[str]:
    """Names under which scripts keep what version 2 has a section for, and that are none."""
    return frozenset(name for name in names if name not in SECTION_VERSIONS and _is_usual(name))


def _is_usual(name: str) -> bool:
    section, _ = SYNONYMS.get(name.lower(), ("", 0))
    if name.lower() in _OWN_NAMES:
        return False
    return section in (*_VERBATIM, *_TARGETS) or name.lower().startswith("best_")


def arrange(document: MapNode, names: Collection[str]) -> Arranged:
    """Give what stands under ``names``, the usual ones that hold plain data, its section.

    Only what looks its part and what one name alone claims moves, and only where no section of
    that name is; all else keeps its own name. Weights and states move whole, their names and
    values untouched; counts become ``progress`` by the rules for a training dict, best values
    ``metrics``. Where each went is told, and kept in ``provenance/saved/renamed``.
    """
    found = sort_keys(MapNode([(name, document[name]) for name in document if name in names]))
    if found is None:
        return Arranged(document)
    whole = {
        one.key: section
        for section in _VERBATIM
        for one in _claims(section, found.sections.get(section, ()), document)
        if isinstance(one.node, MapNode)  # a list of states is no state
    }
    counted = [
        one.key
        for section in _TARGETS
        for one in _claims(section, found.sections.get(section, ()), document)
    ]
    sections, moves, told = _counted(document, counted)
    moves = (*(Move((name,), (section,)) for name, section in whole.items()), *moves)
    if not moves:
        return Arranged(document)
    gone = {move.source[0] for move in moves} - set(whole)
    pairs: list[tuple[Node, Node]] = []
    for name, node in document.items():
        if name not in gone:
            pairs.append((whole.get(name, name) if isinstance(name, str) else name, node))
        elif sections is not None:
            pairs += sections.items()
            sections = None
    arranged = MapNode(pairs)
    _record(arranged, moves)
    return Arranged(arranged, (_notice(moves), *told))


def _claims(section: str, found: Collection[Found], document: MapNode) -> list[Found]:
    """The one that moves to a section; of best values all."""
    if _TARGETS.get(section, section) in document:
        return []
    own = [one for one in found if len(one.path) == 1 and _says(one.key, section)]
    return own if section == "best" or len(own) == len(found) == 1 else []


def _says(name: str, section: str) -> bool:
    sense = sense_of(name)
    return sense is not None and sense.section == section


def _counted(
    document: MapNode, names: list[str]
) -> tuple[MapNode | None, tuple[Move, ...], tuple[Notice, ...]]:
    """Sections made of counts, averages and best values, as those of a training dict are."""
    root = MapNode([(name, document[name]) for name in names])
    if not names:
        return None, (), ()
    view = SourceView(root=root, container="", name="", properties={})
    reading = TrainingDict().interpret(view)
    chain = run_chain(reading.document, reading.version)
    moves = compose_moves(reading.moves, chain.moves)
    left = {move.source[0] for move in moves if move.target[0] == "extra"}
    if "extra" not in document:  # then what an average has beside its weights may go there
        left -= {move.source[0] for move in moves if move.target[0] != "extra"}
    if left:
        return _counted(document, [name for name in names if name not in left])
    told = tuple(notice for notice in reading.notices if notice.code in _TOLD_OF_COUNTS)
    return chain.document, moves, told


def _record(document: MapNode, moves: tuple[Move, ...]) -> None:
    """Keep the way from each name that moved as one, for whoever asks for it by that name."""
    node: object = document.get("provenance")
    saved = node.get("saved") if isinstance(node, MapNode) else None
    if isinstance(saved, MapNode):
        saved[RENAMED] = MapNode(
            (move.source[0], SeqNode([*move.target])) for move in moves if len(move.source) == 1
        )


def _notice(moves: tuple[Move, ...]) -> Notice:
    told = ", ".join(f"{path_text(move.source)} as {path_text(move.target)}" for move in moves[:12])
    more = f" and {len(moves) - 12} more" if len(moves) > 12 else ""
    message = f"stored under the names that restore knows: {told}{more}"
    return Notice("info", "sections-named", message)
