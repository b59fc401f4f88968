"""Lightning Fabric: ``fabric.save`` writes whatever the user names, in one file or a folder."""

from __future__ import annotations

from ckptkit.dialects.dcp import META, is_sharded_with_meta, sort_sharded
from ckptkit.dialects.draft import Draft
from ckptkit.dialects.sorting import sort_keys
from ckptkit.dialects.training_dict import TrainingDict
from ckptkit.protocols import Reading, Recognition, SourceView

#: torch names the root of its archive so when it is given an open file, as Fabric gives it.
FILE_OBJECT_ROOT = "archive"


class Fabric(TrainingDict):
    """A file is a training dict; a folder (sharded) is a distributed checkpoint with meta.pt.

    Source: lightning/fabric/strategies/strategy.py and fsdp.py, ``save_checkpoint``.
    """

    name = "fabric"
    title = "Lightning Fabric checkpoint"

    def recognise(self, view: SourceView) -> Recognition | None:
        """93 for a folder with meta.pt, 62 for a ``.ckpt`` written through a file object."""
        if is_sharded_with_meta(view):
            return Recognition(93, (f"{META} beside a distributed save",))
        if view.properties.get("root") != FILE_OBJECT_ROOT or not view.name.endswith(".ckpt"):
            return None
        found = sort_keys(view.root)
        if found is None or not found.has("model", "optimizer"):
            return None
        return Recognition(62, ("a .ckpt of a training dict, written through a file object",))

    def interpret(self, view: SourceView) -> Reading:
        """Sort shards and metadata, or the one file, as a training dict."""
        draft = Draft(view)
        found = sort_sharded(view.root)
        if found is not None:
            self.fill(draft, found)
        return draft.reading()
