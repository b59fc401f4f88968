"""Whole or absent: everything is written beside the target and appears there by one rename."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ckptkit.errors import (
    AccessDeniedError,
    CkptkitError,
    NotFoundError,
    TargetExistsError,
    WriteFailedError,
)
from ckptkit.storage import kernel
from ckptkit.storage.freespace import free_nbytes, require_free, storage_error
from ckptkit.storage.leftovers import (
    clean_leftovers,
    hold,
    recover_two_step,
    remove,
    rename_new,
    sibling_name,
)
from ckptkit.storage.writer import FileToWrite, write_files

_ATTEMPTS = 8  # at a moment in which other processes create and remove the same target


class Stage:
    """A place to write to that nobody sees until ``commit``.

    ``path`` is an empty folder, or for a single file the name it has to be created under.
    Whoever writes there without ``write_files`` must sync those files.
    """

    def __init__(self, target: Path, root: Path, path: Path, *, replace: bool) -> None:
        self.path, self.committed = path, False
        self.left_behind: Path | None = None  # the old checkpoint, where it could not be removed
        self._target, self.root, self._replace = target, root, replace

    def write_last(self, name: str, data: bytes) -> None:
        """Write and sync the file that seals the rest. Raises: as ``write_files``."""
        write_files(self.path, [FileToWrite(name, data, ())], workers=1)

    def commit(self) -> None:
        """Make the target be what was staged, durably and in one step.

        Raises: TargetExistsError if somebody made the target meanwhile and ``replace`` is false;
        WriteFailedError, DiskFullError, AccessDeniedError. After an error the old one is intact.
        """
        try:
            _sync_folders(self.root)
            old = self._swap_in()
            self._sync_parent(old)
            self.committed = True
        except OSError as exc:
            raise storage_error(exc, self._target, 0, free_nbytes(self._target.parent)) from exc
        # Only now: the parent is synced, so no crash can bring back the name of what is removed.
        # In one order, always: who counts our file operations to crash at one finds it again.
        for path in (old, self.root):
            if path is None or path == self._target:
                continue
            if os.path.lexists(path) and not remove(path):
                self.left_behind = path

    def _sync_parent(self, old: Path | None) -> None:
        """Make the rename durable, or take it back: a rename that may be lost is no commit."""
        try:
            kernel.sync_folder(self._target.parent)
        except OSError:
            if old == self.path and os.path.lexists(old):
                kernel.rename_exchange(self.path, self._target)
            elif old != self.path:
                rename_new(self._target, self.path)
                if old is not None:
                    rename_new(old, self._target)
            raise

    def _swap_in(self) -> Path | None:
        """Rename; return the path under which the replaced checkpoint now lies, if any."""
        for _ in range(_ATTEMPTS):
            try:
                if self._replace and os.path.lexists(self._target):
                    return _exchange(self.path, self._target)
                rename_new(self.path, self._target)
            except FileNotFoundError:
                if not os.path.lexists(self.path):
                    raise
            except FileExistsError as exc:
                if not self._replace:
                    raise _exists(self._target) from exc
            else:
                return None
        raise OSError(errno.EBUSY, "the target keeps changing while it is being replaced")


@contextmanager
def stage(
    target: Path, *, replace: bool = False, needed_nbytes: int = 0, is_file: bool = False
) -> Iterator[Stage]:
    """Open a hidden sibling of ``target``; without ``commit()`` leaving removes it.

    Removes what dead writers left in the same folder, first. ``needed_nbytes`` is checked
    against the free space before anything is written.
    Raises: NotFoundError, AccessDeniedError, TargetExistsError, DiskFullError, WriteFailedError.
    """
    parent = _require_parent(target)
    try:
        recover_two_step(target)
        clean_leftovers(parent)
        if not replace and os.path.lexists(target):
            raise _exists(target)
        require_free(parent, needed_nbytes)
        root, lock = _make_root(target)
    except OSError as exc:
        raise storage_error(exc, parent, needed_nbytes, free_nbytes(parent)) from exc
    staged = Stage(target, root, root / target.name if is_file else root, replace=replace)
    try:
        yield staged
    except CkptkitError as exc:
        _name_the_target(exc, staged, target)
        raise
    finally:
        if not staged.committed:
            remove(root)  # what cannot be removed, the next writer removes
        if lock is not None:
            kernel.close_quietly(lock)


def _name_the_target(exc: CkptkitError, staged: Stage, target: Path) -> None:
    """Say where it was to be, and not under which hidden name it lay, which is gone already."""
    for hidden in (staged.path, staged.root):
        exc.where = exc.where.replace(str(hidden), str(target))
    exc.args = (exc.where, *exc.args[1:])


def _require_parent(target: Path) -> Path:
    """The folder that the target goes to, if it exists and lets us write."""
    parent = target.parent
    if target.name in ("", ".."):
        raise WriteFailedError(target, "this names no new file or folder", "a name of its own")
    if not parent.is_dir():
        seen = "is no folder" if parent.exists() else "does not exist"
        raise NotFoundError(parent, seen, "the folder that the checkpoint goes to", "create it")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise AccessDeniedError(
            parent, "may not be written to", "to be allowed to create files here",
            "choose another destination, or change its mode or mount",
        )  # fmt: skip
    return parent


def _make_root(target: Path) -> tuple[Path, int | None]:
    """Make the hidden folder and lock it, where folders can be locked, as a sign of life."""
    for _ in range(_ATTEMPTS):
        root = target.with_name(sibling_name(target, "stage"))
        root.mkdir()
        lock = hold(root)
        if isinstance(lock, int):
            if os.path.lexists(root):  # else another container cleaned it before it was locked
                return root, lock
            kernel.close_quietly(lock)
        elif lock.errno != errno.EWOULDBLOCK:  # held: another container is about to clean it
            return root, None
    raise OSError(errno.EBUSY, "another process keeps removing the stage")


def _exists(target: Path) -> TargetExistsError:
    return TargetExistsError(
        target, "exists already", "a name that is free", "choose another, or ask to replace it"
    )


def _exchange(staged: Path, target: Path) -> Path:
    """Put ``staged`` in the place of ``target``; return where the old one lies now."""
    try:
        kernel.rename_exchange(staged, target)
    except OSError as exc:
        if exc.errno not in kernel.UNSUPPORTED:
            raise
    else:
        return staged
    if not target.is_dir() and not staged.is_dir():
        os.replace(staged, target)  # noqa: PTH105 - atomic for files everywhere
        return staged
    old = target.with_name(sibling_name(target, "old"))
    lock = hold(target)  # no other writer may take it for abandoned between the two steps
    try:
        os.rename(target, old)  # noqa: PTH104 - as the other renames are spelled
        try:
            rename_new(staged, target)
        except OSError:
            _put_back(old, target)
            raise
    finally:
        if isinstance(lock, int):
            kernel.close_quietly(lock)
    return old


def _put_back(old: Path, target: Path) -> None:
    """Undo the first of two steps; a checkpoint that others put there meanwhile replaces it."""
    try:
        rename_new(old, target)
    except FileExistsError:
        kernel.sync_folder(target.parent)
        remove(old)


def _sync_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        kernel.sync_folder(Path(folder))
