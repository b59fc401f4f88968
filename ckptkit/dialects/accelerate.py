"""Folders that ``Accelerator.save_state`` writes: files in the order of registration."""

from __future__ import annotations

from ckptkit.dialects.draft import Draft, find
from ckptkit.dialects.folder_files import files_of, numbered, place_training_files
from ckptkit.dialects.looks import is_number
from ckptkit.protocols import Reading, Recognition, SourceView

RANDOM = "random_states_0.pkl"


class Accelerate:
    """Several models or optimizers have numbers, no names; what users registered likewise.

    Source: accelerate/checkpointing.py ``save_accelerator_state``, utils/constants.py.
    """

    name = "accelerate"
    title = "Accelerate state folder"

    def recognise(self, view: SourceView) -> Recognition | None:
        """94 for random_states_0.pkl, 82 for optimizer.bin and scheduler.bin together."""
        files = files_of(view)
        if files is None:
            return None
        if RANDOM in files:
            return Recognition(94, (f"{RANDOM} in the folder",))
        if "optimizer.bin" in files and "scheduler.bin" in files:
            return Recognition(82, ("optimizer.bin and scheduler.bin in the folder",))
        return None

    def interpret(self, view: SourceView) -> Reading:
        """Every file to its section; registered objects stay in ``extra`` under their numbers."""
        draft = Draft(view)
        files = files_of(view)
        if files is None:
            return draft.reading()
        place_training_files(draft, files, "random_states", (".bin", ".pt", ".pkl"))
        samplers = numbered(files, "sampler", ".bin") + numbered(files, "dl_state_dict", ".bin")
        for name in samplers:
            draft.take((name,), ("data", name.rpartition(".")[0]))
        if is_number(find(view.root, (RANDOM, "step"))):
            draft.show((RANDOM, "step"), ("step",), "how often accumulate() was entered")
            draft.say(("step_means",), "unknown")
            draft.notice(
                "info", "step-unknown",
                "Accelerate counts the passes through accumulate(), not optimizer steps, and "
                "stores no epoch", RANDOM,
            )  # fmt: skip
        return draft.reading()
