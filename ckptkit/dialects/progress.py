"""What a stored epoch means: counted or indexed, and which evidence in the file says so."""

from __future__ import annotations

from typing import NamedTuple

from ckptkit.dialects.looks import history_length, is_number, is_scalar_tensor
from ckptkit.nodes import Node
from ckptkit.tree import key_text

#: Keys whose own name says what their number means.
MEANT_BY_NAME = {
    "epochs_run": "completed",
    "epochs_completed": "completed",
    "completed_epochs": "completed",
    "trained_epochs": "completed",
    "n_epochs_done": "completed",
    "next_epoch": "next",
    "start_epoch": "next",
    "last_epoch": "last",
}

#: Counters that frameworks and scripts raise right after an optimizer step.
COUNTED_STEPS = frozenset(
    ["global_step", "global_steps", "num_updates", "optimizer_steps", "n_steps", "total_steps"]
)


class Meaning(NamedTuple):
    """What an epoch means (docs/format.md): completed, last, next or unknown, and the reason."""

    means: str
    why: str


#: Why the meaning is unknown in nearly every file of a script that nobody knows.
UNTOLD = Meaning("unknown", "the file does not say if that is the last finished epoch or the next")


def uncounted(node: Node) -> Meaning:
    """What a stored epoch is that cannot be counted with."""
    if is_scalar_tensor(node):
        return Meaning("unknown", "a tensor; inspect --stats reads it")
    return Meaning("unknown", f"{key_text(node)}, which is no count")


def by_history(epoch: Node, history: Node) -> Meaning | None:
    """Read the meaning of an epoch off the length of the history beside it."""
    length = history_length(history)
    if length is None or not is_number(epoch):
        return None
    if length == epoch:
        return Meaning("completed", f"the history tells of {length} epochs, and epoch is {epoch}")
    if length == epoch + 1:
        return Meaning(
            "last", f"the history tells of {length} epochs, so epoch {epoch} counts from 0"
        )
    return None


def by_name(key: str) -> Meaning | None:
    """Read the meaning of an epoch off the name of its key."""
    means = MEANT_BY_NAME.get(key.lower())
    return None if means is None else Meaning(means, f"the key {key} says so itself")


def step_meaning(key: str) -> str:
    """What a stored step means, by the name of its key."""
    return "completed" if key.lower() in COUNTED_STEPS else "unknown"
