"""SegFormer and BuildFormer checkpoints: ``train_loss`` and ``val_loss`` epoch by epoch."""

from __future__ import annotations

from ckptkit.dialects.looks import history_length
from ckptkit.dialects.progress import Meaning
from ckptkit.dialects.sorting import Found, Sorted, has_keys, sort_keys
from ckptkit.dialects.training_dict import TrainingDict
from ckptkit.nodes import SeqNode
from ckptkit.protocols import Recognition, SourceView

KEYS = ("model_state_dict", "optimizer_state_dict", "train_loss", "val_loss", "metrics", "epoch")


class BuildingSegmentation(TrainingDict):
    """The new format; the older one is a bare state_dict and is read as such.

    ``epoch_50.pth`` holds 50 completed epochs and training goes on with epoch 51; the lists in
    it have one entry an epoch.
    """

    name = "building-segmentation"
    title = "SegFormer / BuildFormer training dict"

    def recognise(self, view: SourceView) -> Recognition | None:
        """84 for its six keys with losses as lists; 76 where the losses are single numbers."""
        found = sort_keys(view.root) if has_keys(view.root, *KEYS) else None
        if found is None or not found.has("model", "optimizer", "epoch"):
            return None
        series = [one for one in found.sections.get("history", ()) if one.key.endswith("_loss")]
        if len(series) == 2:
            return Recognition(84, ("train_loss and val_loss are lists beside metrics and epoch",))
        return Recognition(76, ("train_loss, val_loss, metrics and epoch together",))

    def epoch_meaning(self, epoch: Found, found: Sorted, view: SourceView) -> Meaning:
        """The number of completed epochs; the lists must not contradict it."""
        del view
        lists = [one for one in found.sections.get("history", ()) if isinstance(one.node, SeqNode)]
        lengths = {history_length(one.node) for one in lists if one.key == "train_loss"}
        if lengths <= {epoch.node}:
            return Meaning("completed", f"it is the number of completed epochs, {epoch.node}")
        if lengths == {epoch.node + 1}:
            return Meaning("last", f"train_loss has {epoch.node + 1} entries: epoch counts from 0")
        return Meaning("unknown", f"train_loss has {lengths.pop()} entries, which contradicts it")
