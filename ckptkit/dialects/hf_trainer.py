"""The ``checkpoint-<step>`` folders of the Hugging Face Trainer."""

from __future__ import annotations

from ckptkit.dialects.draft import Draft
from ckptkit.dialects.folder_files import files_of, place_files, place_training_files
from ckptkit.dialects.hints import tell_absolute_paths
from ckptkit.dialects.looks import is_number
from ckptkit.dialects.synonyms import mode_of
from ckptkit.nodes import MapNode, Node
from ckptkit.protocols import Reading, Recognition, SourceView
from ckptkit.tree import key_text
from ckptkit.tree.numbers import count_of

STATE = "trainer_state.json"
CONFIGS = ("config.json", "adapter_config.json", "training_args.bin")


class HfTrainer:
    """``trainer_state.json`` counts finished optimizer steps and, as a float, epochs.

    Source: transformers/trainer.py ``_save_checkpoint``, trainer_callback.py ``TrainerState``.
    """

    name = "hf-trainer"
    title = "Hugging Face Trainer folder"

    def recognise(self, view: SourceView) -> Recognition | None:
        """96 for a trainer_state.json with a global_step."""
        files = files_of(view)
        state = files.get(STATE) if files is not None else None
        if not isinstance(state, MapNode) or "global_step" not in state:
            return None
        return Recognition(96, (f"{STATE} with global_step {key_text(state['global_step'])}",))

    def interpret(self, view: SourceView) -> Reading:
        """Every file to its section; the trainer's state stays whole in ``extra``."""
        draft = Draft(view)
        files = files_of(view)
        if files is None:
            return draft.reading()
        place_training_files(draft, files, "rng_state", (".pt", ".bin", ".pth"))
        place_files(draft, files, "config", [name for name in CONFIGS if name in files])
        state = files.get(STATE)
        if isinstance(state, MapNode):
            _show_state(draft, state)
        return draft.reading()


def _show_state(draft: Draft, state: MapNode) -> None:
    if is_number(state.get("global_step")):
        draft.show((STATE, "global_step"), ("step",), "optimizer steps")
        draft.say(("step_means",), "completed")
    if is_number(state.get("epoch")):
        draft.show((STATE, "epoch"), ("epoch",), "epochs as a fraction")
        draft.say(("epoch_means",), "completed")
        epochs = count_of(state["epoch"])  # an int where it is a whole number
        if isinstance(epochs, float):
            told = f"saved inside an epoch: {epochs} epochs were done"
            draft.notice("info", "mid-epoch", told, STATE)
    if "log_history" in state:
        draft.show((STATE, "log_history"), ("history",))
    if state.get("best_metric") is not None:
        _show_best(draft, state)


def _show_best(draft: Draft, state: MapNode) -> None:
    draft.show((STATE, "best_metric"), ("best", "value"))
    if state.get("best_model_checkpoint") is not None:
        draft.show((STATE, "best_model_checkpoint"), ("best", "where"))
        tell_absolute_paths(draft, state["best_model_checkpoint"], STATE)
    name = _metric_name(draft.root)
    if name:
        draft.say(("best", "name"), name)
        if mode := mode_of(name):
            draft.say(("best", "mode"), mode)


def _metric_name(files: Node) -> str:
    """Which metric was the best one is known to the training arguments alone."""
    arguments = files.get("training_args.bin") if isinstance(files, MapNode) else None
    state = getattr(arguments, "state", None)
    name = state.get("metric_for_best_model") if isinstance(state, MapNode) else None
    return name if isinstance(name, str) else ""
