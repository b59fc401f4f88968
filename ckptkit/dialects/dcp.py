"""Folders of ``torch.distributed.checkpoint``, and what Lightning and Fabric put beside them."""

from __future__ import annotations

from ckptkit.dialects.draft import Draft, find
from ckptkit.dialects.looks import is_tensor
from ckptkit.dialects.sorting import Sorted, join, sort_keys
from ckptkit.dialects.training_dict import TrainingDict
from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.protocols import Reading, Recognition, SourceView
from ckptkit.tree import key_text

CONTAINER = "dcp"
#: Lightning and Fabric save what is no tensor apart, in a file of the same folder.
META = "meta.pt"


class Dcp(TrainingDict):
    """The state is whatever was passed to ``save``: a training dict as a rule, or bare weights."""

    name = "dcp"
    title = "torch.distributed.checkpoint folder"

    def recognise(self, view: SourceView) -> Recognition | None:
        """92 for the folder itself; what users nested in it is sorted by its keys."""
        if view.container != CONTAINER or not isinstance(view.root, MapNode):
            return None
        names = [key_text(key) for key in list(view.root)[:4]]
        return Recognition(92, (f".metadata of a distributed save with {', '.join(names)}",))

    def interpret(self, view: SourceView) -> Reading:
        """Sort the state as a training dict; bare weights, beside files, become the model."""
        draft = Draft(view)
        found = sort_sharded(view.root)
        if found is not None and (found.has("model") or found.has("ema")):
            self.fill(draft, found)
        elif isinstance(view.root, MapNode):
            _place_bare(draft, view)
        return draft.reading()


def is_sharded_with_meta(view: SourceView) -> bool:
    """Say whether Lightning or Fabric wrote this folder."""
    return view.container == CONTAINER and isinstance(find(view.root, (META,)), MapNode)


def sort_sharded(root: Node) -> Sorted | None:
    """The state in the shards and, where it is there, what lies in ``meta.pt``, as one dict."""
    shards, meta = sort_keys(root), sort_keys(root, (META,))
    if shards is None or meta is None:
        return shards
    outside = {
        name: [one for one in group if one.key != META] for name, group in shards.sections.items()
    }
    return join(shards._replace(sections=outside), meta)


def _place_bare(draft: Draft, view: SourceView) -> None:
    """Weights that were saved without a key of their own; other files of the folder stay out."""
    files = view.properties.get("files")
    others = (
        {name for name in files.items if isinstance(name, str)}
        if isinstance(files, SeqNode)
        else set()
    )
    for name, node in view.root.items():
        if isinstance(name, str) and name not in others and is_tensor(node):
            draft.take((name,), ("model", name))
