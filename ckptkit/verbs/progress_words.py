"""How far a run was, as its progress section says it: in our words or in those of scripts."""

from __future__ import annotations

from ckptkit.nodes import MapNode, Node
from ckptkit.tree.numbers import count_of

#: The counts of version 2, each with the word of version 1 from which it is made.
COUNTS = {"epochs_completed": "epoch", "optimizer_steps": "step", "samples": "samples"}
_MORE = {"epochs": "epoch"}
_OURS = frozenset([*COUNTS, "as_stored", "epoch_means", "step_means"])


def told_progress(document: MapNode) -> MapNode:
    """The progress of a document in the words of version 2, whatever words it was saved in.

    What the section says in those words is left as it is. A count that it lacks is taken from
    what scripts call it (``iter_num``, ``epoch``, in the section or, without one, as sections
    of their own): ``as_stored`` has the number, and the count itself is there if the name
    alone says that it counts what is completed.
    """
    stored = document.get("progress")
    own = stored if isinstance(stored, MapNode) else MapNode()
    if stored is not None and not isinstance(stored, MapNode):
        return own
    words = _version_1(document if stored is None else own)
    as_stored = own.get("as_stored")
    known = as_stored if isinstance(as_stored, MapNode) else MapNode()
    for count, word in COUNTS.items():
        if own.get(count) is not None or word in known:
            for key in (word, f"{word}_means"):
                words.pop(key, None)
    if not any(word in words for word in COUNTS.values()):
        return own
    from ckptkit.schema import run_chain

    made = run_chain(MapNode(words.items()), 1).document["progress"]
    raw = MapNode([*known.items(), *made["as_stored"].items()])
    added = [pair for pair in made.items() if pair[0] != "as_stored"]
    kept = [pair for pair in own.items() if pair[0] != "as_stored"]
    return MapNode([*kept, *added, ("as_stored", raw)])


def _version_1(mapping: MapNode) -> dict[str, Node]:
    """The counts of a mapping in the words of version 1, the likeliest name of each."""
    counts = [
        name for name, node in mapping.items()
        if type(name) is str and name not in _OURS and count_of(node) is not None
    ]  # fmt: skip
    if not counts:  # nearly always, and then the words of scripts are not even imported
        return {}
    from ckptkit.dialects.progress import by_name, step_meaning
    from ckptkit.dialects.synonyms import SYNONYMS

    ranked: dict[str, tuple[int, str]] = {}
    for name in counts:
        word, rank = SYNONYMS.get(name.lower()) or (_MORE.get(name.lower(), ""), 99)
        if word in COUNTS.values() and rank < ranked.get(word, (1000, ""))[0]:
            ranked[word] = (rank, name)
    found: dict[str, Node] = {word: mapping[name] for word, (_, name) in ranked.items()}
    if "epoch" in ranked:
        meaning = by_name(ranked["epoch"][1])
        found["epoch_means"] = meaning.means if meaning else "unknown"
    if "step" in ranked:
        found["step_means"] = step_meaning(ranked["step"][1])
    return found
