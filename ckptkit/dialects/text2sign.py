"""Text2Sign diffusion checkpoints: everybody's keys, and file names of their own."""

from __future__ import annotations

from ckptkit.dialects.looks import is_number
from ckptkit.dialects.progress import Meaning
from ckptkit.dialects.sorting import Found, Sorted, sort_keys
from ckptkit.dialects.training_dict import TrainingDict
from ckptkit.protocols import Recognition, SourceView
from ckptkit.tree.numbers import count_of

EPOCH_END = "checkpoint_epoch_"
EPOCH_RUNNING = ("checkpoint_step_", "interrupted_checkpoint", "error_checkpoint")
LATEST = "latest_checkpoint"


class Text2Sign(TrainingDict):
    """The keys are everybody's; what is its own are the names of its files.

    Its listing settles what ``epoch`` means. checkpoint_epoch_7 has epoch 7 and step 16328,
    which is 8 epochs of 2041 steps and no whole number of steps in 7: epoch counts from 0, and
    at the end of an epoch it is the last finished one. The interrupted checkpoint has epoch 8
    and 17899 steps: the epoch that was running, with 8 finished before it.
    """

    name = "text2sign"
    title = "Text2Sign diffusion training dict"

    def recognise(self, view: SourceView) -> Recognition | None:
        """72 for its file names together with epoch, step, weights and optimizer, no history."""
        if not _stem(view.name).startswith((EPOCH_END, *EPOCH_RUNNING, LATEST)):
            return None
        found = sort_keys(view.root)
        if (
            found is None
            or not found.has("model", "optimizer", "epoch", "step")
            or _has_more(found)
        ):
            return None
        return Recognition(
            72, (f"the file is called {view.name}", "epoch, step, weights and optimizer beside it")
        )

    def epoch_meaning(self, epoch: Found, found: Sorted, view: SourceView) -> Meaning:
        """Decide by the moment at which files of this name are saved, checked by the steps."""
        stem, step = _stem(view.name), found.first("step")
        if stem.startswith(EPOCH_RUNNING):
            return Meaning("next", f"{stem} is saved inside an epoch, and {epoch.node} was running")
        n_steps = count_of(step.node) if step is not None else None
        if _divides(epoch.node + 1, n_steps):
            return Meaning(
                "last",
                f"{n_steps} steps are {epoch.node + 1} whole epochs, so epoch counts from 0",
            )
        if _divides(epoch.node, n_steps):
            return Meaning("completed", f"{n_steps} steps are {epoch.node} whole epochs")
        if stem.startswith(EPOCH_END):
            return Meaning("last", "it is saved at the end of an epoch, and epoch counts from 0")
        return Meaning("unknown", f"{n_steps} steps are no whole number of epochs")

    def step_meaning(self, step: Found, found: Sorted) -> str:
        """The step is raised after every optimizer step."""
        del step, found
        return "completed"


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0].lower()


def _has_more(found: Sorted) -> bool:
    """Other hand-made systems use the same file names, and say more inside."""
    return any(found.has(section) for section in ("best", "history")) or "metrics" in found.keys


def _divides(n_epochs: object, n_steps: object) -> bool:
    if not is_number(n_epochs) or not is_number(n_steps):
        return False
    assert isinstance(n_epochs, (int, float))
    assert isinstance(n_steps, (int, float))
    return n_epochs > 0 and n_steps > 0 and n_steps % n_epochs == 0
