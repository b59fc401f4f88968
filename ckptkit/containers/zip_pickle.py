"""The pickle of a damaged archive: found by what is left, and proved by its CRC if that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ckptkit.containers.pickle_salvage import read_what_is_left
from ckptkit.containers.zip_archive import PICKLE_NAME
from ckptkit.containers.zip_claims import ALIGNMENT, Claim
from ckptkit.containers.zip_entry import held_limit
from ckptkit.containers.zip_index import LOCAL_NBYTES, STORED
from ckptkit.containers.zip_records import RecordBook
from ckptkit.containers.zip_remains import Remain
from ckptkit.errors import ContainerError, CorruptFileError, LimitExceededError
from ckptkit.nodes import ByteSource, Node
from ckptkit.types import Limits

_FRONT_NBYTES = 4096


@dataclass(slots=True)
class FoundPickle:
    """The bytes of ``data.pkl``, perhaps with others behind it; ``root`` is its folder.

    ``claim`` is where they lie. After ``read``, ``error`` says why it broke off, if it did, and
    ``is_proved`` whether the bytes that were read have the CRC-32 that was recorded for them.
    """

    book: RecordBook
    root: str
    data: bytes
    claim: Claim | None
    is_proved: bool = False
    error: ContainerError | None = None

    def read(self, persistent: Callable[[Node], Node], limits: Limits, nodes_for: int) -> Node:
        """Read as much as can be read; None if that is nothing."""
        if not self.data:
            return None
        where = f"{self.book.file.where}: {self.root}{PICKLE_NAME}"
        left = read_what_is_left(self.data, where, limits, persistent, nodes_for)
        self.error = left.error
        if self.error is None and not self.is_proved and self.claim is not None:
            claim = self.claim._replace(csize=left.stop, usize=left.stop)
            self.is_proved = self.book.prover.prove(claim).state != "false"
        return left.value


def find_pickle(book: RecordBook, limits: Limits) -> FoundPickle:
    """Take the directory's, or the first that a local header names.

    Raises: CorruptFileError if there is none and no storage either; LimitExceededError.
    """
    entry_name = _first(book.index)
    if entry_name is not None:
        found = _from_directory(book, entry_name, limits)
        if found is not None:
            return found
    name = _first(remain.name for remain in book.remains) or _at_the_front(book)
    if name is None:
        root = next((r.name.partition("data/")[0] for r in book.remains if "data/" in r.name), "")
        missing = CorruptFileError(book.file.where, f"it has no {PICKLE_NAME} any more")
        return FoundPickle(book, root, b"", None, error=missing)
    return _from_header(book, name, limits)


def _first(names: Iterable[str]) -> str | None:
    """The shallowest data.pkl, the first one of several."""
    found = [name for name in names if name.rpartition("/")[2] == PICKLE_NAME]
    shallow = [name for name in found if name.count("/") == 1]
    return next(iter(shallow or found), None)


def _at_the_front(book: RecordBook) -> str | None:
    """Where torch writes it, though the header there is none any more: by its name alone."""
    head = book.file.head(_FRONT_NBYTES)
    stop = head.find(PICKLE_NAME.encode(), LOCAL_NBYTES) + len(PICKLE_NAME)
    raw = head[LOCAL_NBYTES:stop]
    first = stop + 4
    start = first + -first % ALIGNMENT
    if (
        not raw.isascii()
        or not raw.endswith(PICKLE_NAME.encode())
        or head[start : start + 1] != b"\x80"
    ):
        return None
    book.remains.insert(0, Remain(raw.decode(), 0, start, STORED, 0, 0, 0))
    return raw.decode()


def _from_directory(book: RecordBook, name: str, limits: Limits) -> FoundPickle | None:
    root = name.removesuffix(PICKLE_NAME)
    claims = book.directory_claims(name)
    for claim in claims:
        _require_short(book, claim, limits)
    book.prover.has_crcs = not (claims and book.saved_without_crcs(claims[0]))
    for claim in claims:
        verdict = book.prover.prove(claim, in_directory=True)
        if verdict.source is not None and verdict.state != "false":
            return FoundPickle(book, root, _whole(verdict.source), None, is_proved=True)
    stored = next((claim for claim in claims if claim.method == STORED), None)
    if stored is None:
        return None
    return FoundPickle(book, root, book.file.read(stored.start, stored.csize), stored)


def _from_header(book: RecordBook, name: str, limits: Limits) -> FoundPickle:
    """Read from the header to the next one: where the pickle ends, only itself says."""
    root = name.removesuffix(PICKLE_NAME)
    index = next(i for i, remain in enumerate(book.remains) if remain.name == name)
    remain = book.remains[index]
    stop = book.next_header(index, root)
    if stop - remain.start > limits.max_pickle_nbytes:
        raise _too_long(book, limits)
    if remain.method != STORED:
        for claim in book.header_claims(index, 0, root):
            _require_short(book, claim, limits)
            verdict = book.prover.prove(claim)
            if verdict.state != "false" and verdict.source is not None:
                return FoundPickle(book, root, _whole(verdict.source), None, is_proved=True)
        return FoundPickle(book, root, b"", None)
    crcs = (remain.crc,) if remain.crc else ()
    data = book.file.read(remain.start, stop - remain.start)
    claim = Claim(remain.start, len(data), len(data), STORED, crcs)
    book.prover.has_crcs = not book.saved_without_crcs(claim, data)
    return FoundPickle(book, root, data, claim)


def _whole(source: ByteSource) -> bytes:
    out = bytearray(source.nbytes)
    source.read_into(0, memoryview(out))
    return bytes(out)


def _require_short(book: RecordBook, claim: Claim, limits: Limits) -> None:
    """Bound what is held in memory. Raises: LimitExceededError."""
    if claim.usize > held_limit(claim.method, claim.csize, limits):
        raise _too_long(book, limits)


def _too_long(book: RecordBook, limits: Limits) -> LimitExceededError:
    return LimitExceededError(
        book.file.where, "its pickle is longer than the limit",
        f"at most {limits.max_pickle_nbytes} bytes", "raise --limit max_pickle_nbytes=N",
    )  # fmt: skip
