"""What is left when everything else is told: names that came, and names that went."""

from __future__ import annotations

from ckptkit.algebra import Drop, Fill
from ckptkit.verbs.guessing.draft import Draft
from ckptkit.verbs.guessing.families import generalised

_MOST_FILLS = 40  # questions of this kind that anybody would read


def ask_about_the_rest(draft: Draft) -> None:
    """Ask about every name that only one side has."""
    stored, wanted = draft.left()
    rows = generalised([(name,) for name in stored], draft.state)
    for row in rows:
        draft.ask(f"nobody takes {row[0]}. May it go? There is no way back", Drop(row[0]))
    for name in wanted[:_MOST_FILLS]:
        entry = draft.wanted[name]
        told = f"nothing fills {name} {list(entry.shape)}. Zeros? (value=1.0, Normal(seed=...))"
        draft.ask(told, Fill(name, entry.shape, entry.dtype) if entry.dtype else None)
    if len(wanted) > _MOST_FILLS:
        patterns = [row[0] for row in generalised([(n,) for n in wanted[_MOST_FILLS:]], ())]
        draft.ask(f"nothing fills {len(wanted) - _MOST_FILLS:,} more: {', '.join(patterns)}")
