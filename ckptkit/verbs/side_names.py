"""Names of side files in a sealed folder: the original ones, unless the format forbids them."""

from __future__ import annotations

from collections.abc import Iterable

_FORBIDDEN = frozenset('\\:*?"<>|')
_MAX_PIECE_NBYTES = 255  # docs/format.md, section "Folder layout"
_MAX_NAME_NBYTES = 2048  # what a path of 4,096 bytes leaves for the folder that is sealed


class SideNames:
    """Gives every side file a name that is allowed, free, and its own one wherever that is so.

    Names are compared as if case did not count; a file never has the name of a folder.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._files = {name.casefold() for name in taken}
        self._folders: dict[str, str] = {}  # folded wish -> the folder that was given
        self._given_folders: set[str] = set()  # folded
        self._next: dict[str, int] = {}

    def give(self, wished: str) -> str:
        """The name under which the file ``wished`` is to be stored."""
        *above, last = _safe_name(wished).split("/")
        folder = ""
        for piece in above:
            folder = self._folder(folder, piece)
        name = self._free(folder, last)
        self._files.add(name.casefold())
        return name

    def _folder(self, above: str, piece: str) -> str:
        wish = f"{above}{piece}".casefold()
        if wish not in self._folders:
            given = f"{above}{piece}"
            if wish in self._files:
                given = self._free(above, piece)
            self._folders[wish] = f"{given}/"
            self._given_folders.add(given.casefold())
        return self._folders[wish]

    def _free(self, above: str, piece: str) -> str:
        """The first free one of ``piece``, ``piece~2``, ``piece~3``."""
        base = name = f"{above}{piece}"
        count = self._next.get(base.casefold(), 1)
        while name.casefold() in self._files or name.casefold() in self._given_folders:
            count += 1
            name = f"{above}{_cut(piece, f'~{count}')}"
        self._next[base.casefold()] = count
        return name


def _safe_name(name: str) -> str:
    """The name itself if the format allows it; else the nearest one that it does."""
    pieces = [_safe_piece(piece) for piece in name.split("/")]
    safe = "/".join(pieces)
    if len(safe.encode()) > _MAX_NAME_NBYTES:
        return _cut(pieces[-1], f"~{_tag(name)}")
    return safe


def _safe_piece(piece: str) -> str:
    safe = "".join("_" if char in _FORBIDDEN or not char.isprintable() else char for char in piece)
    kept = safe.rstrip(" .")
    safe = kept + "_" * (len(safe) - len(kept)) or "_"
    if len(safe.encode()) <= _MAX_PIECE_NBYTES:
        return safe
    return _cut(safe, f"~{_tag(piece)}")


def _cut(piece: str, ending: str) -> str:
    """``piece`` with ``ending``, shortened in between to what a file may be called."""
    room = _MAX_PIECE_NBYTES - len(ending.encode())
    return piece.encode()[:room].decode("utf-8", "ignore") + ending


def _tag(name: str) -> str:
    from zlib import crc32  # a tag has to differ, not to withstand

    return f"{crc32(name.encode('utf-8', 'surrogatepass')):08x}"
