"""The mark of a run while its loops go on: taken, noted, and gone back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ckptkit.run.breaks import Breaks
from ckptkit.run.counting import StepCounter
from ckptkit.run.listener import Listener
from ckptkit.run.mark import Mark
from ckptkit.run.metrics import Means
from ckptkit.run.moved import Moved
from ckptkit.run.rng import put_back, take_mark
from ckptkit.run.standing import Feeds


class Marking:
    """Knows where the run stands. ``mark`` is the last completed step."""

    def __init__(
        self, counter: StepCounter, listener: Listener, *, seed: int,
        generators: Mapping[str, Any], moved: Moved,
    ) -> None:  # fmt: skip
        self._counter, self._listener, self._moved = counter, listener, moved
        self._generators = generators
        self._feeds = Feeds(seed, listener.at_odds)
        self._pending: Mark | None = None  # a resume whose streams are not put back yet
        self._of_body: set[str] = set()  # loops that have handed something out for this body
        self.breaks = Breaks()
        self.means = Means()
        self.mark = Mark()
        self.in_body = False

    def resume(self, mark: Mark) -> None:
        """Stand at ``mark``; its random streams are put back when the first item is handed out."""
        self.mark = self._pending = mark
        self._counter.steps = mark.steps
        self._stand()
        self._note()

    def _stand(self) -> None:
        """Let what counts, and the loops that come, begin at the mark."""
        self._feeds.resume(self.mark)
        self._samples, self.micro_batch = 0, self.mark.micro_batches
        self.means.restore(self.mark.means)

    def start(self) -> None:
        """Stand at the beginning, with the streams as they are now."""
        self.mark = Mark(rng=take_mark(self._generators))
        self._note()

    # -- where it stands --------------------------------------------------------------------------

    micro_batch = 0  # batches handed out since the last completed step

    @property
    def stepped(self) -> bool:
        """Whether the body under way has completed an optimizer step."""
        return self._counter.steps > self.mark.steps

    @property
    def steps_now(self) -> int:
        """Completed optimizer steps, that of the body under way included, completed or not."""
        return max(self._counter.steps, self.mark.steps + self.in_body)

    @property
    def samples(self) -> int:
        """Samples that were handed out before the body under way."""
        return self.mark.samples + self._samples

    _samples = 0  # handed out since the mark was taken

    def _take(self, *, weights: bool = False, **changes: Any) -> None:
        """Put the mark here."""
        self.mark = self._here(**changes)
        self._samples = 0
        self._note(weights=weights)

    def _here(self, **changes: Any) -> Mark:
        places, loaders = self._feeds.states(self.mark)
        return replace(
            self.mark,
            steps=self._counter.steps,
            samples=self.mark.samples + self._samples,
            micro_batches=self.micro_batch,
            places=places,
            loaders=loaders,
            means=self.means.state(),
            rng=take_mark(self._generators),
            **changes,
        )

    def _note(self, *, weights: bool = False) -> None:
        """Note what is live at the mark."""
        self._counter.at_mark()
        waiting = self.mark.micro_batches > 0
        self._moved.note(weights=weights or waiting or not self._counter.has_any, gradients=waiting)
        self._listener.at_mark(self.mark)

    @property
    def torn(self) -> str:
        """Why the live objects are not those of the mark, even if ``put_back``; "" if they are."""
        if self._counter.torn:
            return "the optimizer failed inside its step"
        if self._counter.moved:
            return "the optimizer has stepped, but its loop's body was not completed"
        if self._counter.replaced:
            return "the optimizer is another one than at the last completed step"
        return "weights have changed since the last completed step" if self._moved.weights else ""

    @property
    def moved_buffers(self) -> list[str]:
        """The modules whose stored buffers are not those of the mark: "norm (BatchNorm1d)"."""
        return self._moved.buffers

    def put_back(self) -> None:
        """Let schedules, counters and other small things be as they were at the mark."""
        self._moved.put_back()

    def _streams(self, *, keep: bool = False) -> None:
        """Put the random streams of a resume back, once, as its last act; ``keep``: not yet.

        Where several loaders take turns in an epoch, the last one that was begun is the place.
        """
        if self._feeds.claims and not keep:
            return
        pending = self._pending
        if not keep:
            self._pending = None
        if pending is not None and pending.rng is not None:
            untold = put_back(pending.rng, self._generators)
            if untold and not keep:
                self._listener.at_streams(untold)
