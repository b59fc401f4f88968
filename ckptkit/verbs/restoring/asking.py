"""The submodules that load themselves: which stored names are theirs, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ckptkit.match.values import LoadPlan
from ckptkit.nodes import Node
from ckptkit.torch_bridge.honesty import copies_plainly
from ckptkit.torch_bridge.own_loading import Outcome, load_itself, rehearse
from ckptkit.verbs.restoring.stored_state import StoredState


class Asked(NamedTuple):
    """A submodule and its part of the stored state: name below it -> stored name.

    ``versions`` are those of the stored state, by path below the submodule. ``outcome`` is what
    the rehearsal said, or what is known without one; None where nothing is.
    """

    path: str
    reason: str
    sources: dict[str, str]
    versions: dict[str, int]
    outcome: Outcome | None = None

    @property
    def prefix(self) -> str:
        """What stands before its names in those of the whole module."""
        return f"{self.path}." if self.path else ""


def plan_asked(
    module: Any, roots: Mapping[str, str], stored: StoredState, plan: LoadPlan
) -> list[Asked]:
    """Give every submodule that loads itself the stored names below it, and rehearse."""
    found = []
    for path, reason in roots.items():
        asked = _asked(module, path, reason, stored, plan)
        state = nodes_of(asked, stored)
        outcome = rehearse(module.get_submodule(path), state, asked.versions)
        found.append(asked._replace(outcome=outcome or _foreseen(module, asked, stored, plan)))
    return found


def _foreseen(module: Any, asked: Asked, stored: StoredState, plan: LoadPlan) -> Outcome | None:
    """Say which shapes torch will refuse, where nothing was rehearsed; None if it knows of none."""
    part = module.get_submodule(asked.path)
    plain = {entry.name for entry in stored.entries if entry.dtype} if plan.mismatched else set()
    errors = tuple(
        f"{one.target} is {list(one.stored)} in the checkpoint and {list(one.wanted)} in the model"
        for one in plan.mismatched
        if asked.sources.get(one.target.removeprefix(asked.prefix)) == one.source
        and one.target.startswith(asked.prefix)
        and one.source in plain
        and copies_plainly(part, one.target.removeprefix(asked.prefix))
    )
    return Outcome(errors=errors) if errors else None


def ask(module: Any, asked: Asked, stored: StoredState) -> Outcome:
    """Let the submodule load itself, now. Raises: ContainerError."""
    part = module.get_submodule(asked.path)
    return load_itself(part, nodes_of(asked, stored), asked.versions)


def nodes_of(asked: Asked, stored: StoredState) -> dict[str, Node]:
    """Return its part of the stored state, by names below it."""
    return {name: stored.nodes[source] for name, source in asked.sources.items()}


def _asked(module: Any, path: str, reason: str, stored: StoredState, plan: LoadPlan) -> Asked:
    prefix = f"{path}." if path else ""
    theirs = _stored_prefix(prefix, plan)
    sources = {name[len(theirs) :]: name for name in stored.nodes if name.startswith(theirs)}
    matched = {
        pair.target[len(prefix) :]: pair.source
        for pair in plan.pairs
        if pair.target.startswith(prefix)
    }
    moved = {source for name, source in matched.items() if sources.get(name) != source}
    kept = {name: source for name, source in sources.items() if source not in moved}
    versions = _versions_below(theirs.rstrip("."), stored)
    if any(pair.how == "parametrization" and pair.target.startswith(prefix) for pair in plan.pairs):
        versions = _live_versions(module.get_submodule(path))  # the names were made today's
    return Asked(path, reason, {**kept, **matched}, versions)


def _stored_prefix(prefix: str, plan: LoadPlan) -> str:
    """Return what stands before the names of a submodule in the checkpoint."""
    inside: Counter[str] = Counter()
    around: Counter[tuple[str, str]] = Counter()
    for pair in plan.pairs:
        if pair.how not in ("exact", "prefix"):
            continue
        local = pair.target.removeprefix(prefix)
        if pair.target.startswith(prefix) and pair.source.endswith(local):
            inside[pair.source.removesuffix(local)] += 1
        elif not inside:
            around[_fronts(pair.target, pair.source)] += 1
    if inside:
        return inside.most_common(1)[0][0]
    for (wanted, stored), _ in around.most_common():
        if prefix.startswith(wanted):
            return stored + prefix.removeprefix(wanted)
    return prefix


def _fronts(target: str, source: str) -> tuple[str, str]:
    """Return what is left of two names when their common steps at the end are gone."""
    ours, theirs = target.split("."), source.split(".")
    while ours and theirs and ours[-1] == theirs[-1]:
        ours.pop()
        theirs.pop()
    return ".".join([*ours, ""]), ".".join([*theirs, ""])


def _versions_below(path: str, stored: StoredState) -> dict[str, int]:
    found = {}
    for place, version in stored.versions.items():
        if place == path:
            found[""] = version
        elif place.startswith(f"{path}." if path else ""):
            found[place.removeprefix(f"{path}." if path else "")] = version
    return found


def _live_versions(part: Any) -> dict[str, int]:
    metadata: Mapping[str, Mapping[str, Any]] = getattr(part.state_dict(), "_metadata", {})
    return {path: told["version"] for path, told in metadata.items() if "version" in told}


def is_below(name: str, roots: Collection[str]) -> bool:
    """Say whether a name belongs to one of the submodules; ``roots`` best is a set."""
    if not roots:
        return False
    if "" in roots:
        return True
    end = name.find(".")
    while end >= 0:
        if name[:end] in roots:
            return True
        end = name.find(".", end + 1)
    return False
