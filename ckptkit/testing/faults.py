"""Make the system calls of a save fail or die, one at a time: for plugin authors and for us.

for number in itertools.count(1):
    if not dies_at(number, save):   # a child process, killed at its number-th system call
        break
    ...                             # look at what it left behind
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from ckptkit.storage import kernel

# Every call by which a save changes a file system; a name of the C library stands for itself.
SAVE_CALLS = (
    "open", "close", "write", "pwrite", "fsync", "ftruncate",
    "mkdir", "rename", "replace", "link", "unlink", "rmdir",
)  # fmt: skip


class Call(NamedTuple):
    """One system call about to be made: its number, from 1 on, and what it was asked."""

    number: int
    name: str
    args: tuple[Any, ...]
    function: Callable[..., Any]


Act = Callable[[Call], None]


def _nothing(call: Call) -> None:
    del call


class Tape:
    """The calls that were made inside ``intercepted``, in order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [call.name for call in self.calls]


@contextmanager
def intercepted(before: Act = _nothing, after: Act = _nothing) -> Iterator[Tape]:
    """Call ``before`` and ``after`` around every system call of a save, one call at a time.

    An exception that ``before`` raises takes the place of the call. For one test at a time: the
    functions of module ``os`` are replaced for every thread of the process.
    """
    tape, lock = Tape(), threading.RLock()

    def wrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def stand_in(*args: Any, **options: Any) -> Any:
            with lock:
                call = Call(len(tape.calls) + 1, name or args[0], args, function)
                tape.calls.append(call)
                before(call)
                result = function(*args, **options)
                after(call)
            return result

        return stand_in

    with ExitStack() as patches:
        for name in SAVE_CALLS:
            _patch(os, name, wrap(name, getattr(os, name)), patches)
        _patch(kernel, "libc_call", wrap("", kernel.libc_call), patches)
        yield tape


def _patch(owner: Any, name: str, value: Any, patches: ExitStack) -> None:
    patches.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def killing_at(number: int, *, torn: bool = False) -> Act:
    """Kill this process, as ``kill -9`` does, instead of its ``number``-th call.

    ``torn``: where that call is a write, its first half reaches the file.
    """

    def act(call: Call) -> None:
        if call.number == number:
            if torn and call.name in ("write", "pwrite"):
                fd, data, *offset = call.args
                call.function(fd, data[: len(data) // 2], *offset)
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def failing_at(
    number: int, code: int, names: tuple[str, ...] = (), *, lasting: bool = False
) -> Act:
    """Let the ``number``-th call fail with this errno; counts only ``names``, if given.

    ``lasting``: so do all such calls after it, as on a disk that stays full.
    """
    seen = 0

    def act(call: Call) -> None:
        nonlocal seen
        if not names or call.name in names:
            seen += 1
            if seen == number or (lasting and seen > number):
                if call.name == "close":  # Linux frees the descriptor even where close fails
                    call.function(*call.args)
                raise OSError(code, os.strerror(code))

    return act


def lacking(*names: str) -> Act:
    """Let these functions of the C library be missing, as on an older system."""

    def act(call: Call) -> None:
        if call.name in names:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    return act


def both(one: Act, other: Act) -> Act:
    """Do the one, then the other."""

    def act(call: Call) -> None:
        one(call)
        other(call)

    return act


def dies_at(
    number: int, save: Callable[[], object], *, torn: bool = False, first: Act = _nothing
) -> bool:
    """Run ``save`` in a child process that dies at its ``number``-th call.

    False if the child came to its end before. ``first`` acts before every call, so that a kill
    can be joined with a system that lacks something. Raises: RuntimeError if ``save`` failed.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with intercepted(both(killing_at(number, torn=torn), first)):
                save()
            code = 0
        except BaseException:  # noqa: BLE001 - nothing may return into the parent's stack
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status:
        raise RuntimeError(f"the save failed before its call number {number}")
    return False


class FailingSource:
    """A source of zeros that raises ``error`` when byte ``fail_at`` is asked for: a bad worker."""

    def __init__(self, nbytes: int, fail_at: int, error: Exception) -> None:
        self.nbytes, self._fail_at, self._error = nbytes, fail_at, error

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill with zeros, up to the byte that fails."""
        if offset + len(out) > self._fail_at:
            raise self._error
        out[:] = bytes(len(out))


@contextmanager
def file_size_limit(nbytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond ``nbytes``; the system answers with EFBIG."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
