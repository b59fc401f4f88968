"""Programs with their weights: TorchScript archives and exported programs (.pt2)."""

from __future__ import annotations

from ckptkit.dialects.draft import Draft, find
from ckptkit.dialects.looks import is_state_dict
from ckptkit.dialects.weights import place_names
from ckptkit.protocols import Reading, Recognition, SourceView

#: Where both containers put the tensors of the program, by their dotted names.
STATE = "state_dict"


class TorchScript:
    """The tensors become the model; code, constants and the module objects stay as data."""

    name = "torchscript"
    title = "TorchScript archive"
    container = "torchscript"

    def recognise(self, view: SourceView) -> Recognition | None:
        """91 for the container: it says all there is to know."""
        if view.container != self.container:
            return None
        return Recognition(91, (f"the archive is a {self.title}",))

    def interpret(self, view: SourceView) -> Reading:
        """Put the tensors at ``model`` and everything else into ``extra``."""
        draft = Draft(view)
        if is_state_dict(find(view.root, (STATE,))):
            place_names(draft, (STATE,), ("model",), parallel=False)
        draft.notice(
            "info", "weights-only",
            "a program with its weights: training can start from them, not resume",
        )  # fmt: skip
        return draft.reading()


class TorchExport(TorchScript):
    """The same for what ``torch.export.save`` writes."""

    name = "torch-export"
    title = "exported program (.pt2)"
    container = "torch-export"
