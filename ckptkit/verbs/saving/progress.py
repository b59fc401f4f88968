"""Whether a run that resumes will know how far it was."""

from __future__ import annotations

from ckptkit.nodes import MapNode
from ckptkit.tree import key_text
from ckptkit.types import Notice
from ckptkit.verbs.progress_words import COUNTS, told_progress

_MAX_SHOWN = 5


def progress_notices(document: MapNode) -> tuple[Notice, ...]:
    """Say it where a ``progress`` that was given counts nothing whose meaning is certain."""
    given = document.get("progress")
    if not isinstance(given, MapNode):
        return ()
    told = told_progress(document)
    if any(told.get(count) is not None for count in COUNTS):
        return ()
    stored = told.get("as_stored")
    shown = list(stored if isinstance(stored, MapNode) else given)[:_MAX_SHOWN]
    names = ", ".join(key_text(name) for name in shown)
    words = ", ".join(COUNTS)
    message = (
        f"progress has {names}: nothing says whether that is completed or still to do; {words} do"
        if names else f"progress is empty; its words are {words}"
    )  # fmt: skip
    return (Notice("info", "progress-uncounted", message),)
