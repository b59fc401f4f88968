"""One writer a folder: a lock that names its holder and that dies with it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from ckptkit.errors import LockedError
from ckptkit.storage.freespace import storage_error
from ckptkit.storage.kernel import UNSUPPORTED
from ckptkit.storage.owner import Owner, current_owner, is_dead

LOCK_NAME = ".ckptkit.lock"
_MAX_CONTENT_NBYTES = 4096
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FLOCK = UNSUPPORTED | {errno.ENOLCK}


class Holder(NamedTuple):
    """Who holds a folder: ``since`` is the Unix time in seconds at which it took it."""

    owner: Owner
    host: str
    since: float


class FolderLock:
    """Keep other writers out of ``folder``; release it with ``release()`` or ``with``.

    The system frees it when the process ends, however it ends; a child made by fork does not
    keep it. The file stays, empty. Where a file system has no flock, what the file says decides.
    Raises: LockedError that names the holder; AccessDeniedError, NotFoundError, WriteFailedError.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_NAME
        try:
            self._fd = os.open(self.path, _OPEN, 0o666)
            try:
                self._take(folder)
            except BaseException:
                self._close()
                raise
        except OSError as exc:
            raise storage_error(exc, self.path, 0) from exc
        _held.add(self)

    def _take(self, folder: Path) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = _parse_holder(self._fd)
            if exc.errno == errno.EWOULDBLOCK:
                raise _locked(folder, holder) from exc
            if exc.errno not in _NO_FLOCK:
                raise
            if holder and holder.owner != current_owner() and not is_dead(holder.owner):
                raise _locked(folder, holder) from exc
        _write_holder(self._fd)

    def release(self) -> None:
        """Let others in; does nothing the second time, or in a child made by fork."""
        if self._fd >= 0:
            try:
                os.ftruncate(self._fd, 0)
            finally:
                self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        _held.discard(self)
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.release()


_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """Close the child's copies: a data loader that outlives its parent must not hold the lock."""
    for lock in list(_held):
        lock._close()  # noqa: SLF001 - its own module


os.register_at_fork(after_in_child=_leave_to_parent)


def read_holder(folder: Path) -> Holder | None:
    """Who holds a folder, by what its lock file says; None if it is free or says nothing."""
    try:
        fd = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        holder = _parse_holder(fd)
    finally:
        os.close(fd)
    return holder if holder and not is_dead(holder.owner) else None


def _write_holder(fd: int) -> None:
    owner = current_owner()
    fields = {**owner._asdict(), "hostname": os.uname().nodename}
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps(fields).encode(), 0)


def _parse_holder(fd: int) -> Holder | None:
    """What a lock file says; None for one that is empty or that we did not write."""
    since = os.fstat(fd).st_mtime
    try:
        fields: Any = json.loads(os.pread(fd, _MAX_CONTENT_NBYTES, 0))
        owner = Owner(*(fields[name] for name in Owner._fields))
        ours = isinstance(owner.pid, int) and isinstance(owner.start, int)
        return Holder(owner, str(fields["hostname"]), since) if ours else None
    except (ValueError, KeyError, TypeError):
        return None


def _locked(folder: Path, holder: Holder | None) -> LockedError:
    if holder is None:
        seen = "another process holds it"
    else:
        from datetime import UTC, datetime

        since = datetime.fromtimestamp(holder.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        who = f"process {holder.owner.pid} on {holder.host}"
        ended = is_dead(holder.owner)
        seen = f"{who} has ended, a child of it" if ended else who
        seen += f" holds it since {since}"
    return LockedError(
        folder, seen, "one writer at a time",
        f"wait for it or stop it; if it is no more, remove {LOCK_NAME}",
    )  # fmt: skip
