"""Multimodal brain (Flickr8k) checkpoints: ``best_val`` beside ``val_loss`` and the config."""

from __future__ import annotations

from ckptkit.dialects import filling
from ckptkit.dialects.draft import Draft, find
from ckptkit.dialects.progress import Meaning
from ckptkit.dialects.sorting import Found, Sorted, has_keys, sort_keys
from ckptkit.dialects.training_dict import TrainingDict
from ckptkit.protocols import Recognition, SourceView


class Brain(TrainingDict):
    """The comprehensive format; the older one is a bare state_dict and is read as such.

    A file with epoch 42 says "Starting from epoch 43" and loops over ``range(43, epochs)``:
    epoch is the index, from 0, of the last finished one.
    """

    name = "brain"
    title = "Multimodal brain training dict"

    def recognise(self, view: SourceView) -> Recognition | None:
        """82 for best_val, val_loss, global_step and epoch; 90 if the config has d_shared."""
        if not has_keys(view.root, "best_val", "val_loss", "global_step", "epoch"):
            return None
        found = sort_keys(view.root)
        if found is None or not found.has("model", "optimizer"):
            return None
        told = ("best_val, val_loss, global_step and epoch together",)
        if find(view.root, (*found.base, "config", "d_shared")) is not None:
            return Recognition(90, ("d_shared in the config", *told))
        return Recognition(82, told)

    def fill_best(self, draft: Draft, found: Sorted) -> None:
        """``best_val`` is a validation loss."""
        filling.place_best(draft, found, name="val_loss", mode="min")

    def epoch_meaning(self, epoch: Found, found: Sorted, view: SourceView) -> Meaning:
        """The index of the last finished epoch."""
        del found, view
        following = epoch.node + 1
        return Meaning("last", f"training goes on from epoch {following} of range({following}, ..)")
