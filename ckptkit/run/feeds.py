"""Loaders as the run sees them: each hands out batches, knows its place and goes back to one."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any, Protocol

from torch.utils.data import IterableDataset

from ckptkit.errors import MismatchError
from ckptkit.run.loaders import Place, ResumableLoader
from ckptkit.run.order import mix
from ckptkit.run.rng import seed_streams, undisturbed


class Feed(Protocol):
    """What the run needs of a loader.

    ``draws``: fetching draws from the script's own random streams, so they are put back before
    the first fetch of a resume, not after it.
    """

    draws: bool

    def begin(self, place: Place) -> None:
        """Stand at the beginning of ``place.epoch``, or inside it."""

    def state(self) -> Any:
        """Where it stands: a Place, or a state of its own as plain data."""

    def go_to(self, state: Any) -> None:
        """Stand where ``state`` says."""

    def __iter__(self) -> Iterator[Any]: ...

    def handed_out(self) -> int:
        """How many samples of this epoch were handed out."""


class PlacedFeed:
    """A map-style DataLoader, adopted: its place is a number of samples."""

    draws = False

    def __init__(self, loader: Any, seed: int) -> None:
        self._loader = loader if isinstance(loader, ResumableLoader) else _adopted(loader, seed)

    def begin(self, place: Place) -> None:
        """Seek."""
        self._loader.seek(place)

    def state(self) -> Place:
        """The place, and what the epoch shows."""
        return self._loader.described

    def go_to(self, state: Any) -> None:
        """Seek; the seed of the stored place counts, because it made the order."""
        self._loader.seek(state)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._loader)

    def __len__(self) -> int:
        return len(self._loader)

    def handed_out(self) -> int:
        """Samples, of all ranks together."""
        return self._loader.place.samples


def _adopted(loader: Any, seed: int) -> ResumableLoader:
    return ResumableLoader(loader, seed=seed)


class OwnStateFeed:
    """A loader that keeps its own state (torchdata's StatefulDataLoader, or a stateful dataset).

    Its order is its own business; what it says of itself is stored and given back.
    """

    draws = True

    def __init__(self, loader: Any, keeper: Any) -> None:
        self._loader, self._keeper = loader, keeper
        self._batches, self._place = 0, Place(0, 0, 0)

    def begin(self, place: Place) -> None:
        """Begin an epoch: a sampler or dataset that wants its number gets it."""
        self._batches, self._place = 0, place
        for one in (getattr(self._loader, "sampler", None), getattr(self._loader, "dataset", None)):
            set_epoch = getattr(one, "set_epoch", None)
            if set_epoch is not None:
                set_epoch(place.epoch)

    def state(self) -> dict[str, Any]:
        """What the loader says of itself."""
        return {"batches": self._batches, "state": self._keeper.state_dict()}

    def go_to(self, state: Any) -> None:
        """Hand its state back."""
        self._batches = int(state["batches"])
        self._keeper.load_state_dict(state["state"])

    def __iter__(self) -> Iterator[Any]:
        place = self._place
        with undisturbed():  # what it draws to begin is not drawn twice where it goes on
            seed_streams(mix(place.seed, place.epoch))
            batches = iter(self._loader)
        return self._counted(batches)

    def _counted(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            self._batches += 1
            yield batch

    def handed_out(self) -> int:
        """Samples, as far as the loader's batch size tells them."""
        return self._batches * (getattr(self._loader, "batch_size", None) or 1)


def feed_of(loader: Any, seed: int) -> Feed:
    """Wrap a loader in what fits it.

    Raises: MismatchError for a stream that can neither be placed nor tells its state.
    """
    if isinstance(loader, ResumableLoader):
        return PlacedFeed(loader, seed)
    if _keeps_state(loader):
        return OwnStateFeed(loader, loader)
    dataset = getattr(loader, "dataset", None)
    if dataset is None:
        raise MismatchError(
            "batches()", f"a {type(loader).__qualname__} is no loader that can be resumed",
            "a DataLoader, or a loader with state_dict and load_state_dict",
            "wrap what makes them in a Dataset, or use run.steps() if it draws them at random",
        )  # fmt: skip
    stream = isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__")
    if _keeps_state(dataset) and stream:
        if getattr(loader, "num_workers", 0):
            raise MismatchError(
                "batches()", "the state of a stream lies in its workers", "num_workers=0",
                "bring a torchdata StatefulDataLoader for it",
            )  # fmt: skip
        return OwnStateFeed(loader, dataset)
    return PlacedFeed(loader, seed)


def has_more(feed: Feed) -> bool:
    """Whether batches are left of this epoch; who does not know may have some."""
    return not isinstance(feed, Sized) or len(feed) > 0


def _keeps_state(value: Any) -> bool:
    return callable(getattr(value, "state_dict", None)) and callable(
        getattr(value, "load_state_dict", None)
    )
