"""How a run is left: in peace, told to stop, or by an error; nothing that is complete is lost."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from ckptkit.run.failing import save_failed
from ckptkit.run.keeper import Keeper, RunStop
from ckptkit.run.loop import Loop
from ckptkit.run.saver import Saver
from ckptkit.run.stop import StopWatcher
from ckptkit.run.tell import Tell


class Leaving(NamedTuple):
    """The parts of a run that have something to do at its end."""

    loop: Loop
    keeper: Keeper
    saver: Saver
    watcher: StopWatcher
    tell: Tell
    batch_size: Any

    def finish(self) -> None:
        """End in peace: a loop that was left by break is settled, the last save joined.

        Raises: RunStop for a signal that nobody has obeyed yet, or whose RunStop the script has
        swallowed; as ``ckptkit.save``.
        """
        self.loop.settle_break(last=True)
        self.saver.join()
        self._tell_stalls()
        told = self.watcher.heard or self.keeper.obeyed
        if told is not None:
            self.tell(f"{told.word}: the loops are over, {self._what_is_lost()}")
            raise RunStop(told)

    def _what_is_lost(self) -> str:
        """Save what no checkpoint holds yet, or say so. Raises: RunStop where it has saved."""
        if self.keeper.has_saved(self.loop.mark):
            return "nothing is lost"
        self.keeper.in_between(self.loop)
        return f"what came behind the last save is not saved; {self.saver.newest}"

    def _tell_stalls(self) -> None:
        stalls = sorted(self.saver.stalls_s)
        if stalls:
            middle = stalls[len(stalls) // 2]
            self.tell(
                f"{len(stalls)} background saves held the training up for {middle:.3f} s each "
                f"(median), {stalls[-1]:.3f} s at most"
            )

    def leave(self, error: BaseException) -> bool:
        """End by ``error``, saving what it has not destroyed; True: it is no error to be seen.

        Raises: SystemExit with the conventional code, where the run was told to stop.
        """
        if isinstance(error, RunStop):
            if _in_notebook():
                return True
            raise SystemExit(error.reason.exit_code) from None
        if isinstance(error, KeyboardInterrupt) and self.watcher.at_once:
            self.saver.settle()  # it may be the newest
            self.tell(f"left at once: nothing more is saved; {self.saver.newest}")
        if isinstance(error, Exception) or self._loses_work():
            self.watcher.saves_last = True
            save_failed(error, self.saver, self.loop, self.tell, batch_size=self.batch_size)
        return False

    def _loses_work(self) -> bool:
        """Whether an exit, which is no error, comes behind the last save that is on disk."""
        if self.watcher.at_once:
            return False
        self.saver.settle()  # a save in flight may fail yet, or be given up
        return not self.keeper.has_saved(self.loop.mark)


def _in_notebook() -> bool:
    """Say whether a person's cell runs this: leaving the process would end the kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None
