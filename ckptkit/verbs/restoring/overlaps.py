"""Live memory that two stored tensors would fill: the last would win, or half of each."""

from __future__ import annotations

from collections.abc import Sequence

from ckptkit.errors import MismatchError
from ckptkit.torch_bridge.values import Fill


def check_apart(fills: Sequence[Fill]) -> None:
    """Accept fills of one live memory only where the checkpoint has one tensor for it, too.

    Raises: MismatchError, before anything is filled.
    """
    first: dict[object, Fill] = {}
    for fill in fills:
        address = fill.tensor.data_ptr()
        other = first.setdefault(address, fill) if address else fill
        if other is fill or other.tensor.device != fill.tensor.device:
            continue
        if (other.whole or other.node).same_view() != (fill.whole or fill.node).same_view():
            raise MismatchError(
                f"{other.where} and {fill.where}",
                "are one memory here, and two tensors in the checkpoint",
                "objects of their own, or a checkpoint in which they are tied",
                "nothing was filled; restore them one by one, the one that counts last",
            )
