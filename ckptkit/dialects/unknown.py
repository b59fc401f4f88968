"""The last resort: keys that nobody knows are kept, all of them, in ``extra``."""

from __future__ import annotations

from ckptkit.dialects.draft import Draft
from ckptkit.protocols import Reading, Recognition, SourceView


class Unknown:
    """Whatever can be read can be migrated, even where nobody knows what it means."""

    name = "unknown"
    title = "Unknown keys (kept as they are)"

    def recognise(self, view: SourceView) -> Recognition | None:
        """Claim every tree, with the least score that there is."""
        del view
        return Recognition(1, ("every tree can be kept as it is",))

    def interpret(self, view: SourceView) -> Reading:
        """Put the whole tree into ``extra``."""
        draft = Draft(view)
        draft.notice("warning", "unknown-keys", "no dialect knows these keys; all is kept in extra")
        return draft.reading()
