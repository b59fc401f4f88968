"""The ImageNet example of PyTorch, and timm, which grew from it: ``arch`` beside ``state_dict``."""

from __future__ import annotations

from ckptkit.dialects.draft import find
from ckptkit.dialects.progress import Meaning
from ckptkit.dialects.sorting import Found, Sorted, has_keys, sort_keys
from ckptkit.dialects.training_dict import TrainingDict
from ckptkit.protocols import Recognition, SourceView

BESTS = ("best_acc1", "best_prec1", "best_acc")


class ImageNet(TrainingDict):
    """``epoch`` is saved as epoch + 1: the index of the next one.

    Source: pytorch/examples, imagenet/main.py, ``save_checkpoint``.
    """

    name = "imagenet"
    title = "PyTorch ImageNet example (checkpoint.pth.tar)"

    def recognise(self, view: SourceView) -> Recognition | None:
        """86 for arch, state_dict and a best accuracy."""
        found = sort_keys(view.root) if has_keys(view.root, "arch", "state_dict") else None
        if found is None or not found.has("model"):
            return None
        best = next((key for key in BESTS if key in found.keys), None)
        if best is None or "version" in found.keys:
            return None
        return Recognition(86, (f"arch, state_dict and {best} together",))

    def epoch_meaning(self, epoch: Found, found: Sorted, view: SourceView) -> Meaning:
        """The index of the next epoch."""
        del epoch, found, view
        return Meaning("next", "main.py saves epoch + 1, where to go on from")


class Timm(TrainingDict):
    """``state_dict`` is raw, ``state_dict_ema`` averaged; epoch changed its meaning in version 2.

    Source: pytorch-image-models, timm/utils/checkpoint_saver.py and timm/models/_helpers.py.
    """

    name = "timm"
    title = "timm training checkpoint"

    def recognise(self, view: SourceView) -> Recognition | None:
        """88 for arch, version, state_dict and epoch."""
        keys = ("arch", "version", "state_dict", "epoch")
        found = sort_keys(view.root) if has_keys(view.root, *keys) else None
        if found is None or not found.has("model"):
            return None
        return Recognition(88, ("arch, version, state_dict and epoch together",))

    def epoch_meaning(self, epoch: Found, found: Sorted, view: SourceView) -> Meaning:
        """The last finished epoch from version 2 on, the next one before."""
        del epoch
        version = find(view.root, (*found.base, "version"))
        if isinstance(version, int) and version < 2:
            return Meaning("next", "before version 2 timm saved the epoch to go on from")
        return Meaning("last", "from version 2 on timm saves the epoch that it finished")
