"""Sorting the keys of a training dict by section: what a key says, checked by what it holds."""

from __future__ import annotations

from typing import NamedTuple

from ckptkit.dialects.draft import find
from ckptkit.dialects.looks import (
    fields,
    is_count,
    is_number,
    is_optimizer,
    is_scaler,
    is_scheduler,
    is_tensor,
)
from ckptkit.dialects.synonyms import SYNONYMS, Sense, is_measure, sense_of
from ckptkit.dialects.weights import INNER, Weights, find_weights
from ckptkit.nodes import MapNode, Node, Path, Record, SeqNode

#: Among more keys than this only those of the usual names are looked at: a bare state_dict has
#: 100,000 names that mean nothing here.
MAX_KEYS = 512
#: Usual names that are no synonyms of a section.
_MORE_NAMES = (
    "best", "best_acc", "best_acc1", "best_prec1", "best_loss", "best_val", "best_val_loss",
    "best_score", "best_metric", "best_epoch", "best_model_path", "train_loss", "val_loss", "loss",
    "generator", "discriminator", "encoder", "decoder", "actor", "critic",
)  # fmt: skip
_EXACT = (*SYNONYMS, *_MORE_NAMES)


class Found(NamedTuple):
    """One thing of a section: its key and place in the source, and whose it is if several."""

    key: str
    path: Path
    node: Node
    role: str = ""
    rank: int = 0
    weights: Weights | None = None


class Sorted(NamedTuple):
    """A training dict taken apart: section -> what was found of it, likeliest first.

    ``n_unsorted`` keys were not looked at, because there are too many.
    """

    base: Path
    keys: frozenset[str]
    sections: dict[str, list[Found]]
    n_unsorted: int = 0

    def first(self, section: str) -> Found | None:
        """The likeliest one of a section."""
        found = self.sections.get(section)
        return found[0] if found else None

    def has(self, *sections: str) -> bool:
        """Say whether each of these sections has something."""
        return all(self.sections.get(section) for section in sections)


def sort_keys(root: Node, below: Path = ()) -> Sorted | None:
    """Take the training dict at ``below`` apart, or None if nothing with named parts is there."""
    named = fields(find(root, below))
    if named is None or not len(named[0]):
        return None
    mapping, base = named[0], below + named[1]
    chosen = _choose(mapping)
    sections: dict[str, list[Found]] = {}
    homeless: list[Found] = []
    for key, node in chosen:
        if not isinstance(key, str) or node is root:
            continue
        placed = _place_key(key, (*base, key), node)
        for section, found in placed:
            sections.setdefault(section, []).append(found)
        if not placed:
            homeless += [
                Found(key, w.path, node, w.role or key, 90, w)
                for w in find_weights(node, (*base, key))
            ]
    _add_wrapped_configs(root, base, sections)
    if "model" not in sections and "ema" not in sections:
        sections["model"] = homeless or _empty_models(chosen, base, sections)
    for group in sections.values():
        group.sort(key=lambda one: one.rank)  # stable: the order of the file among equals
    keys = frozenset(key for key in mapping if isinstance(key, str))
    return Sorted(base, keys, sections, len(mapping) - len(chosen))


def _choose(mapping: MapNode) -> list[tuple[Node, Node]]:
    """The pairs to look at: all, or of too many those that have one of the usual names."""
    if len(mapping) <= MAX_KEYS:
        return mapping.items()
    return [(name, mapping[name]) for name in _EXACT if name in mapping]


def _empty_models(
    pairs: list[tuple[Node, Node]], base: Path, sections: dict[str, list[Found]]
) -> list[Found]:
    """``{"model": {}, "optimizer": {...}}``: a model without parameters, beside training state."""
    if not any(section in sections for section in ("optimizer", "scheduler", "epoch", "step")):
        return []
    empty = []
    for key, node in pairs:
        exact = SYNONYMS.get(key.lower()) if isinstance(key, str) else None
        if exact and exact[0] == "model" and isinstance(node, MapNode) and not len(node):
            path = (*base, key)
            empty.append(Found(str(key), path, node, "", exact[1], Weights(path, "names")))
    return empty


def has_keys(root: Node, *keys: str) -> bool:
    """Say whether a few named parts are there; much cheaper than sorting them all."""
    named = fields(root)
    return named is not None and all(key in named[0] for key in keys)


def join(first: Sorted, second: Sorted) -> Sorted:
    """Two dicts of one checkpoint as one; paths of other keys start at the second's base."""
    sections = {name: list(group) for name, group in first.sections.items()}
    for name, group in second.sections.items():
        sections.setdefault(name, []).extend(group)
    n_unsorted = first.n_unsorted + second.n_unsorted
    return Sorted(second.base, first.keys | second.keys, sections, n_unsorted)


def _place_key(key: str, path: Path, node: Node) -> list[tuple[str, Found]]:
    """The sections that one key fills; none if its content does not look like its name."""
    sense = sense_of(key)
    if sense is not None:
        if sense.section in ("model", "ema"):
            if found := _as_weights(key, path, node, sense):
                return found
        elif _looks_right(sense, key, node):
            section = "history" if _is_series(sense.section, node) else sense.section
            return [(section, Found(key, path, node, sense.role, sense.rank))]
    for section, looks in (
        ("optimizer", is_optimizer), ("scheduler", is_scheduler), ("scaler", is_scaler),
    ):  # fmt: skip
        if looks(node):
            return [(section, Found(key, path, node, key, 80))]
    return []


def _add_wrapped_configs(root: Node, base: Path, sections: dict[str, list[Found]]) -> None:
    """What stands beside a state_dict in its own wrapper, where it says how to build the model."""
    for one in list(sections.get("model", ())):
        above = one.path[:-1]
        if len(above) <= len(base) or one.path[-1] not in INNER:
            continue
        wrapper = find(root, above)
        for key, node in wrapper.items() if isinstance(wrapper, MapNode) else ():
            sense = sense_of(key) if isinstance(key, str) else None
            if sense and sense.section == "config" and not find_weights(node, ()):
                found = Found(key, (*above, key), node, "", sense.rank)
                sections.setdefault("config", []).append(found)


def _as_weights(key: str, path: Path, node: Node, sense: Sense) -> list[tuple[str, Found]]:
    found = find_weights(node, path, sense.role)
    if not found and sense.section == "ema" and isinstance(node, MapNode) and len(node):
        return [("ema", Found(key, path, node, sense.role, sense.rank))]  # weights.py sorts it out
    placed = []
    for one in found:
        section = "ema" if one.kind == "averaged" else sense.section
        placed.append((section, Found(key, one.path, node, one.role, sense.rank, one)))
    return placed


def _is_series(section: str, node: Node) -> bool:
    return section == "metrics" and isinstance(node, SeqNode) and node.kind == "list"


def _looks_right(sense: Sense, key: str, node: Node) -> bool:
    """Say whether the content of a key can be what the key says."""
    section = sense.section
    if section in ("epoch", "step", "samples"):
        return is_count(node)
    if section in ("optimizer", "scheduler", "scaler"):
        return isinstance(node, (MapNode, SeqNode, Record)) and not is_tensor(node)
    if section == "metrics" and sense.rank >= 60:
        return _is_measurement(key, node)
    if section == "best":
        return not find_weights(node, ()) and node is not None
    if section == "history" or (section == "config" and sense.rank >= 50):
        return isinstance(node, (MapNode, SeqNode, Record))
    return node is not None


def _is_measurement(key: str, node: Node) -> bool:
    """A number, a scalar tensor or a list under a name that says what was measured."""
    if isinstance(node, SeqNode):
        return node.kind == "list" and is_measure(key)
    return is_number(node) or (is_tensor(node) and getattr(node, "shape", None) == ())
