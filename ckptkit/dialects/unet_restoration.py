"""U-Net restoration notebooks: metrics of training and validation, epochs counted from 1."""

from __future__ import annotations

from ckptkit.dialects.draft import find
from ckptkit.dialects.progress import Meaning
from ckptkit.dialects.sorting import Found, Sorted, has_keys, sort_keys
from ckptkit.dialects.training_dict import TrainingDict
from ckptkit.nodes import MapNode, Node
from ckptkit.protocols import Recognition, SourceView

EMERGENCY = "emergency_checkpoint_oom_epoch_"


class UnetRestoration(TrainingDict):
    """``epoch`` is the completed epoch, counted from 1; the history lies in history.json beside.

    An emergency checkpoint is saved when memory ran out in the middle of an epoch, and its
    guide does not say whether the epoch in it is that one or the one before.
    """

    name = "unet-restoration"
    title = "U-Net restoration training dict"

    def recognise(self, view: SourceView) -> Recognition | None:
        """84 for metrics of exactly train and val; 80 for an emergency file by its name."""
        is_emergency = view.name.lower().startswith(EMERGENCY)
        if not is_emergency and not has_keys(view.root, "metrics"):
            return None
        found = sort_keys(view.root)
        if found is None or not found.has("model", "optimizer", "epoch"):
            return None
        metrics = find(view.root, (*found.base, "metrics"))
        if _is_train_and_val(metrics):
            return Recognition(84, ("metrics of exactly train and val, each a mapping",))
        if is_emergency:
            return Recognition(80, (f"the file is called {view.name}",))
        return None

    def epoch_meaning(self, epoch: Found, found: Sorted, view: SourceView) -> Meaning:
        """The number of completed epochs, but for emergencies."""
        del epoch, found
        if view.name.lower().startswith(EMERGENCY):
            return Meaning("unknown", "memory ran out inside an epoch: this one or the next")
        return Meaning("completed", "it is the completed epoch, counted from 1")


def _is_train_and_val(metrics: Node) -> bool:
    if not isinstance(metrics, MapNode) or len(metrics) != 2:
        return False
    return all(isinstance(metrics.get(part), MapNode) for part in ("train", "val"))
