"""What a save may copy while training goes on already: what nothing but an optimizer's step writes.

Of a training with Adam that is two thirds of the bytes. The next step waits until they are copied;
a forward and a backward pass do not. Weights, averages and all else may be written by anybody, by
``.data`` even, which torch does not count: they are copied before the training goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ckptkit.run.counting import optimizers_in


class StepOnly:
    """The tensors of the optimizers in a state, noted when a save begins."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = state
        self._noted: list[tuple[torch.Tensor, int]] = []
        self.trusted = True  # until something else has written to one

    def note(self) -> frozenset[int]:
        """Return the addresses of the storages that may be copied later; none where not trusted."""
        self._noted = [(one, one._version) for one in self._tensors()] if self.trusted else []  # noqa: SLF001
        return frozenset(one.untyped_storage().data_ptr() for one, _ in self._noted)

    def written(self) -> bool:
        """Whether one was written to since ``note``, as torch counts; then trusts no more."""
        noted, self._noted = self._noted, []
        written = any(one._version != version for one, version in noted)  # noqa: SLF001
        self.trusted = self.trusted and not written
        return written

    def _tensors(self) -> Iterator[torch.Tensor]:
        for optimizer in optimizers_in(self._state):
            weights = {
                one.untyped_storage().data_ptr()
                for group in optimizer.param_groups
                for one in group["params"]
                if _is_plain(one)
            }
            for states in optimizer.state.values():
                for one in states.values() if isinstance(states, dict) else ():
                    if _is_plain(one) and one.untyped_storage().data_ptr() not in weights:
                        yield one


def _is_plain(value: object) -> bool:
    """Whether it lies in the host's memory, and torch counts what is written to it."""
    return (
        isinstance(value, torch.Tensor)
        and type(value) in (torch.Tensor, torch.nn.Parameter)
        and value.device.type == "cpu"
        and value.layout == torch.strided
        and not value.is_inference()
    )
