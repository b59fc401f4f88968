"""A whole pickled ``nn.Module``: what ``torch.save(model)`` writes."""

from __future__ import annotations

from ckptkit.dialects.draft import Draft
from ckptkit.dialects.looks import is_module
from ckptkit.dialects.weights import Weights, place_weights
from ckptkit.protocols import Reading, Recognition, SourceView


class PickledModule:
    """The tensors of the module become the model; the object itself stays as data."""

    name = "pickled-module"
    title = "Whole pickled nn.Module"

    def recognise(self, view: SourceView) -> Recognition | None:
        """90 for a record with parameters, buffers and submodules at the root."""
        if not is_module(view.root):
            return None
        return Recognition(90, (f"the root is a {view.root.name.text} with its parameters",))

    def interpret(self, view: SourceView) -> Reading:
        """Collect the tensors under their state_dict names."""
        draft = Draft(view)
        if is_module(view.root):
            place_weights(draft, Weights((), "module"), ("model",))
        return draft.reading()
