"""A folder that ``from_pretrained`` reads: transformers, diffusers, peft, sentence-transformers."""

from __future__ import annotations

from ckptkit.dialects.draft import Draft
from ckptkit.dialects.folder_files import (
    files_of,
    find_weight_files,
    place_files,
    place_weight_files,
)
from ckptkit.nodes import MapNode
from ckptkit.protocols import Reading, Recognition, SourceView

#: What tells the libraries apart, with the words for the evidence.
MARKS = (
    ("model_index.json", "a diffusers pipeline"),
    ("adapter_config.json", "a PEFT adapter"),
    ("modules.json", "sentence-transformers modules"),
    ("config_sentence_transformers.json", "a sentence-transformers model"),
    ("config.json", "a model's config"),
)


class HfWeights:
    """Weights and settings, no training state: tokenizer and other files travel along."""

    name = "hf-weights"
    title = "Hugging Face weights folder"

    def recognise(self, view: SourceView) -> Recognition | None:
        """80 for weights beside a config of one of the libraries, 58 for weights alone."""
        files = files_of(view)
        found = find_weight_files(files) if files is not None else []
        if files is None or not found:
            return None
        weights = f"weights in {found[0].name}"
        marks = tuple(f"{name}: {what}" for name, what in MARKS if name in files)
        return Recognition(80, (*marks, weights)) if marks else Recognition(58, (weights,))

    def interpret(self, view: SourceView) -> Reading:
        """Weights to ``model``, configs to ``config``, every other file to ``extra``."""
        draft = Draft(view)
        files = files_of(view)
        if files is None:
            return draft.reading()
        n_models = place_weight_files(draft, files)
        place_files(draft, files, "config", _configs(files))
        if n_models > 1:
            draft.notice("info", "several-models", f"{n_models} models in one folder, each a part")
        draft.notice(
            "info", "weights-only",
            "no optimizer state is in it: training can start from these weights, not resume",
        )  # fmt: skip
        return draft.reading()


def _configs(files: MapNode) -> list[str]:
    """The parsed configs that say how to build what the weights fill."""
    names = [name for name in files if isinstance(name, str) and isinstance(files[name], MapNode)]
    last = {"config.json", "adapter_config.json", "model_index.json"}
    return [name for name in names if name.rpartition("/")[2] in last]
