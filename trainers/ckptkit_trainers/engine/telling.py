"""What is wrong with a file, told in the same words whoever reads it: a worker or the training.

Out of a worker torch brings an error as another one, whose text is the worker's traceback. So a
worker hands it out as a value, and it is raised where it arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from torch.utils.data import Dataset, default_collate

from ckptkit.plugin import errors

Item = TypeVar("Item")


class Telling(Dataset[Any]):
    """A data set whose errors are items."""

    def __init__(self, data: Dataset[Any]) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        try:
            return self.data[index]
        except errors.CkptkitError as exc:
            return exc


class TellingCollate:
    """Joins items to a batch; an error among them is the batch."""

    def __init__(self, collate: Callable[[list[Any]], Any] = default_collate) -> None:
        self._collate = collate

    def __call__(self, items: list[Any]) -> Any:
        """Join them."""
        wrong = next((item for item in items if isinstance(item, errors.CkptkitError)), None)
        return self._collate(items) if wrong is None else wrong


def told(batches: Iterable[Item]) -> Iterator[Item]:
    """Yield the batches; raise what one of them tells."""
    for batch in batches:
        if isinstance(batch, errors.CkptkitError):
            raise batch
        yield batch
