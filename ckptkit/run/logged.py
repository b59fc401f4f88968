"""What a script logs: where it belongs, and what becomes of it where no row takes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ckptkit.errors import CkptkitError, UnrepresentableError
from ckptkit.run.history import OWN_NAMES
from ckptkit.run.keeper import Keeper
from ckptkit.run.loop import Loop
from ckptkit.run.metrics import Means, as_number
from ckptkit.run.saver import Saver
from ckptkit.run.tell import Tell
from ckptkit.run.trackers import Trackers


class Logged:
    """Takes every value: in an evaluation or a body it is averaged, elsewhere it is as it is."""

    def __init__(self, loop: Loop, keeper: Keeper, saver: Saver, tell: Tell) -> None:
        self._loop, self._keeper, self._saver, self._tell = loop, keeper, saver, tell
        self._evaluating: dict[Means, tuple[int, ...]] = {}  # and where the loops stood then
        self._outside: dict[str, float] = {}  # before, between and behind the loops
        self.trackers: Trackers | None = None

    def take(self, values: Mapping[str, Any], weight: float) -> None:
        """Record metrics. Raises: UnrepresentableError."""
        numbers = {_checked(name): as_number(name, value) for name, value in values.items()}
        here = self._place()
        bodies = [means for means, place in self._evaluating.items() if place == here]
        for means in bodies:
            means.add(numbers, weight)
        if not bodies:
            self._record(numbers, weight)

    def _record(self, numbers: Mapping[str, float], weight: float = 1.0) -> None:
        loop = self._loop
        if self.trackers is not None:
            self.trackers.log(numbers, loop.steps_now, loop.mark)
        if loop.in_body:
            loop.means.add(numbers, weight)
        elif loop.mark.epoch_open and loop.breaks.left is None:
            self._keeper.epoch_values.update(numbers)
        else:
            self._outside.update(numbers)

    def evaluated(self, loader: Any) -> Iterator[Any]:
        """Yield the batches of an evaluation; what its bodies log is averaged, and logged at last.

        Of one inside of another both average: it cannot be told which of them will be completed.
        """
        means, batches = Means(), iter(loader)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                break
            except Exception:
                self._keeper.in_between(self._loop)  # a signal may have ended its workers
                raise
            self._evaluating[means] = self._place()
            try:
                yield batch
            finally:
                self._evaluating.pop(means, None)
            self._keeper.in_between(self._loop)
        self._record(means.values())

    def _place(self) -> tuple[int, ...]:
        """Where the loops stand: an evaluation that was left by break is over where they go on.

        A progress bar may hold on to it, so that nothing else tells.
        """
        loop, mark = self._loop, self._loop.mark
        return (
            mark.epochs,
            mark.epoch_open,
            mark.steps,
            loop.samples,
            loop.micro_batch,
            loop.in_body,
        )

    def begin_loop(self) -> None:
        """What was logged before it is of no row: a resume logs it once more, elsewhere."""
        self._outside.clear()

    def close(self) -> None:
        """At the run's end let the last row have what was logged since; its own values stay."""
        values = {**self._keeper.epoch_values, **self._outside}
        mark = self._loop.mark
        added = self._saver.history.complete(mark.epochs, mark.steps, values)
        try:
            self._saver.write_rows(all_anew=added)
        except CkptkitError as exc:
            self._tell(f"the last rows of the history could not be written: {exc}")


def _checked(name: str) -> str:
    if name in OWN_NAMES:
        raise UnrepresentableError(
            f"metric {name!r}", "is what the history itself calls a column",
            "a name of its own", f"leave it out, for each row has it, or name it my_{name}",
        )  # fmt: skip
    return name
