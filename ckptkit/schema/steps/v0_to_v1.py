"""Version 0, a bare mapping of names to tensors, becomes a training dict."""

from __future__ import annotations

from ckptkit.nodes import MapNode
from ckptkit.protocols import Move
from ckptkit.schema.stepping import Stepped, step


@step(0, 1)
def put_weights_under_model(old: MapNode) -> Stepped:
    """The whole mapping is the model's state_dict. Lossless."""
    return Stepped(MapNode({"model": old}), (Move((), ("model",)),))
