"""Noon2 segmentation checkpoints: a complete training state with ``best_val_loss`` and history."""

from __future__ import annotations

from ckptkit.dialects import filling
from ckptkit.dialects.draft import Draft
from ckptkit.dialects.progress import Meaning, by_history
from ckptkit.dialects.sorting import Found, Sorted, has_keys, sort_keys
from ckptkit.dialects.training_dict import TrainingDict
from ckptkit.protocols import Recognition, SourceView

FILES = ("last_checkpoint", "best_model", "checkpoint_epoch_")


class Noon2(TrainingDict):
    """What ``epoch`` means cannot be said once for all, but the history can.

    Its trainer resumed at ``current_epoch + 1 if current_epoch > 0 else 0``, which repeats the
    first epoch if it counts from 0; after one epoch it announced epoch 2, with a history of one
    epoch. So the length of the history decides, file by file.
    """

    name = "noon2"
    title = "Noon2 segmentation training dict"

    def recognise(self, view: SourceView) -> Recognition | None:
        """78 for best_val_loss, history, config, optimizer and scheduler; 80 with its file name."""
        found = sort_keys(view.root) if has_keys(view.root, "best_val_loss") else None
        wanted = ("model", "optimizer", "scheduler", "epoch", "history", "config")
        if found is None or not found.has(*wanted):
            return None
        told = ("best_val_loss, history, config, optimizer and scheduler together",)
        if view.name.lower().startswith(FILES):
            return Recognition(80, (*told, f"the file is called {view.name}"))
        return Recognition(78, told)

    def fill_best(self, draft: Draft, found: Sorted) -> None:
        """The best validation loss."""
        filling.place_best(draft, found, name="val_loss", mode="min")

    def epoch_meaning(self, epoch: Found, found: Sorted, view: SourceView) -> Meaning:
        """Whatever the length of the history says."""
        del view
        for one in found.sections.get("history", ()):
            if (meaning := by_history(epoch.node, one.node)) is not None:
                return meaning
        return Meaning(
            "unknown", "the history has neither as many epochs nor one more, so nothing decides"
        )
