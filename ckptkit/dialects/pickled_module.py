"""A whole pickled ``nn.Module`` (``torch.save(model)``) or a TorchScript archive."""

from __future__ import annotations

from ckptkit.dialects.draft import Draft
from ckptkit.dialects.looks import is_module, is_script_module
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
        return Recognition(
            90, (f"the root is a {view.root.name.text} with parameters and modules",)
        )

    def interpret(self, view: SourceView) -> Reading:
        """Collect the tensors under their state_dict names."""
        return _collected(view)


class TorchScript:
    """The same for the modules of a TorchScript archive, whose code is not looked at."""

    name = "torchscript"
    title = "TorchScript archive"

    def recognise(self, view: SourceView) -> Recognition | None:
        """90 for a record of a class under ``__torch__`` at the root."""
        if not is_script_module(view.root):
            return None
        return Recognition(90, (f"the root is a scripted {view.root.name.text}",))

    def interpret(self, view: SourceView) -> Reading:
        """Collect the tensors under their state_dict names."""
        return _collected(view)


def _collected(view: SourceView) -> Reading:
    draft = Draft(view)
    if is_module(view.root) or is_script_module(view.root):
        place_weights(draft, Weights((), "module"), ("model",))
    return draft.reading()
