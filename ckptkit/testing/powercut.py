"""What a power cut could leave: only what was synced, at every moment of a save.

Killing a process loses nothing that it wrote; pulling the plug does. This keeps book of what
each fsync made durable and shows the folder as the next boot would find it, in two models:
``synced`` (no name and no byte survives that was not synced) and ``names`` (the file system has
recorded every name at once, but only synced bytes survive, so that others are files of nothing).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ckptkit.testing.faults import Call, intercepted

Files = dict[str, bytes]  # relative path -> content
Inode = tuple[int, int]


class Frame(NamedTuple):
    """What would be found after a power cut that follows ``call``."""

    call: Call
    synced: Files
    names: Files


class _Ledger:
    """What has been made durable below a folder so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.contents: dict[Inode, bytes] = {}
        self.listings: dict[Inode, dict[str, tuple[Inode, bool]]] = {}
        for root, _, files in os.walk(folder):
            self._keep_listing(Path(root))
            for name in files:
                path = Path(root, name)
                self.contents[_inode(path.lstat())] = path.read_bytes()

    def _keep_listing(self, folder: Path) -> None:
        entries = {}
        with os.scandir(folder) as found:
            for entry in found:
                status = entry.stat(follow_symlinks=False)
                entries[entry.name] = (_inode(status), stat.S_ISDIR(status.st_mode))
        self.listings[_inode(folder.stat())] = entries

    def note_sync(self, fd: int) -> None:
        """Keep what the file or folder behind ``fd`` holds now."""
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            self._keep_listing(Path(f"/proc/self/fd/{fd}").readlink())
        else:
            self.contents[_inode(status)] = os.pread(fd, status.st_size, 0)

    def note_new(self, path: Path) -> None:
        """Forget what an inode's number stood for before this file or folder was made."""
        inode = _inode(path.lstat())
        self.contents.pop(inode, None)
        self.listings.pop(inode, None)

    def synced(self) -> Files:
        """What survives if nothing but what was synced does."""
        files: Files = {}
        pending = [("", _inode(self.folder.stat()))]
        while pending:
            prefix, folder = pending.pop()
            for name, (inode, is_folder) in self.listings.get(folder, {}).items():
                if is_folder:
                    pending.append((f"{prefix}{name}/", inode))
                else:
                    files[prefix + name] = self.contents.get(inode, b"")
        return files

    def names(self) -> Files:
        """What survives if every name does, but only synced bytes."""
        return {
            str(path.relative_to(self.folder)): self.contents.get(_inode(path.lstat()), b"")
            for path in self.folder.rglob("*")
            if path.is_file()
        }


def _inode(status: os.stat_result) -> Inode:
    return status.st_dev, status.st_ino


def power_cuts(
    folder: Path, save: Callable[[], object], first: Callable[[Call], None] | None = None
) -> list[Frame]:
    """Run ``save`` and return, for every system call of it, what a power cut would leave.

    ``folder`` counts as durable when the save begins. Linux only (it reads /proc/self/fd).
    """
    ledger, frames = _Ledger(folder), []

    def after(call: Call) -> None:
        if call.name == "fsync":
            ledger.note_sync(call.args[0])
        elif call.name == "mkdir" or (call.name == "open" and call.args[1] & os.O_EXCL):
            ledger.note_new(Path(call.args[0]))
        frames.append(Frame(call, ledger.synced(), ledger.names()))

    with intercepted(first or (lambda _: None), after):
        save()
    return frames
