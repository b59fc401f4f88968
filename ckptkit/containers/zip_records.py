"""The records of a damaged archive by name, from its directory and from its local headers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.zip_claims import (
    DESCRIPTOR_MARK,
    MAX_CLAIMS,
    Claim,
    Prover,
    directory_claims,
    header_claims,
)
from ckptkit.containers.zip_index import ZipEntry, read_zip_index
from ckptkit.containers.zip_remains import Remain, find_remains
from ckptkit.errors import CkptkitError, LimitExceededError
from ckptkit.nodes import ByteSource, Storage
from ckptkit.types import Limits

_SMALL_NBYTES = 4096


class Wanted(NamedTuple):
    """A record by its name below the root; ``nbytes`` is what its tensors need at least."""

    name: str
    nbytes: int
    storage: Storage | None


class Outcome(NamedTuple):
    """The bytes of a record, or why there are none; ``note`` says what is not proved of them."""

    source: ByteSource | None
    reason: str = ""
    note: str = ""


class _Proved(NamedTuple):
    claim: Claim
    state: str
    source: ByteSource
    in_directory: bool


class RecordBook:
    """Answers where a record lies. No two records that it hands out share a byte."""

    def __init__(self, file: FileBytes, limits: Limits, advance: Callable[[int], None]) -> None:
        self.file, self._limits = file, limits
        self.prover = Prover(file, limits, advance)
        self.root = ""
        self.index = self._read_index()

    def _read_index(self) -> dict[str, ZipEntry]:
        """The directory, which is believed only if it is whole."""
        try:
            return read_zip_index(self.file, self._limits).entries
        except LimitExceededError:
            raise
        except CkptkitError:
            return {}

    @cached_property
    def remains(self) -> list[Remain]:
        """Every local header; found at the first need, which costs a reading of the file."""
        return find_remains(self.file, self._limits)

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for index, remain in enumerate(self.remains):
            found.setdefault(remain.name, []).append(index)
        return found

    @cached_property
    def _own_headers(self) -> list[int]:
        return [r.header for r in self.remains if r.name.startswith(self.root)]

    def choose_root(self, root: str) -> None:
        """Say below which folder the records lie."""
        self.root = root

    def names(self) -> Iterator[str]:
        """Every record's name, below the root."""
        for name in dict.fromkeys([*self.index, *self._by_name]):
            if name.startswith(self.root):
                yield name[len(self.root) :]

    def next_header(self, index: int, root: str) -> int:
        """Where the next header of the same archive begins; the end of the file after the last."""
        start = self.remains[index].start
        if root == self.root:
            place = bisect_right(self._own_headers, start)
            return self._own_headers[place] if place < len(self._own_headers) else self._end()
        later = (r.header for r in self.remains[index + 1 :] if r.name.startswith(root))
        return next((header for header in later if header >= start), self._end())

    def _end(self) -> int:
        return self.file.nbytes

    def directory_claims(self, name: str) -> list[Claim]:
        """What the directory says of a record; ``name`` is the whole one."""
        entry = self.index.get(name)
        return [] if entry is None else list(directory_claims(self.file, entry))

    def header_claims(self, index: int, nbytes: int, root: str) -> list[Claim]:
        """What a local header says."""
        stop = self.next_header(index, root)
        return list(header_claims(self.file, self.remains[index], nbytes, stop))

    def saved_without_crcs(self, claim: Claim, data: bytes = b"") -> bool:
        """Whether the writer was told to keep no checksums: it writes zeros for all of them."""
        if claim.crcs:
            return claim.crcs == (0,)
        place = data.rfind(DESCRIPTOR_MARK)
        return place >= 0 and data[place + 4 : place + 8] == bytes(4)

    def small(self, name: str) -> bytes | None:
        """The content of a small record; None where there is none, b"" where it is damaged."""
        claims = [c for c in self._all_claims(name, 0) if c[0].usize <= _SMALL_NBYTES]
        for claim, in_directory in claims:
            verdict = self.prover.prove(claim, in_directory=in_directory)
            if verdict.source is not None and verdict.state != "false":
                out = bytearray(claim.usize)
                verdict.source.read_into(0, memoryview(out))
                return bytes(out)
        return b"" if claims else None

    def _all_claims(self, name: str, nbytes: int) -> list[tuple[Claim, bool]]:
        """What anything says of a record; the local headers are asked where the directory fails."""
        full = self.root + name
        claims = [(c, True) for c in self.directory_claims(full) if c.usize >= nbytes]
        if not claims:
            claims += self._from_headers(full, nbytes)
        return claims[:MAX_CLAIMS]

    def _from_headers(self, full: str, nbytes: int) -> list[tuple[Claim, bool]]:
        return [
            (claim, False)
            for index in self._by_name.get(full, [])[:MAX_CLAIMS]
            for claim in self.header_claims(index, nbytes, self.root)
        ]

    def settle(self, wanted: list[Wanted]) -> Iterator[tuple[Wanted, Outcome]]:
        """Decide for every record; long ones first, so that what lies inside them is theirs."""
        proved = [(want, self._proved(want)) for want in wanted]
        spans: list[tuple[int, int]] = []
        outcomes: dict[str, Outcome] = {}
        for want, found in sorted(proved, key=_longest):
            free = [one for one in found if not _overlaps(spans, one.claim)]
            outcomes[want.name] = outcome = self._outcome(want, found, free)
            if outcome.source is not None:
                _insert(spans, (free[0].claim.start, free[0].claim.stop))
        for want in wanted:
            yield want, outcomes[want.name]

    def _proved(self, want: Wanted) -> list[_Proved]:
        """The claims that hold: the directory's first one, or all that headers make."""
        claims = [(c, True) for c in self.directory_claims(self.root + want.name)]
        found = self._holding(want, claims)
        if not found:
            found = self._holding(want, self._from_headers(self.root + want.name, want.nbytes))
        return found

    def _holding(self, want: Wanted, claims: list[tuple[Claim, bool]]) -> list[_Proved]:
        found: list[_Proved] = []
        for claim, in_directory in claims[:MAX_CLAIMS]:
            if claim.usize < want.nbytes or any(one.claim == claim for one in found):
                continue
            verdict = self.prover.prove(claim, in_directory=in_directory)
            if verdict.source is None or verdict.state == "false":
                continue
            if verdict.state == "unproved" and not in_directory and claim.usize != want.nbytes:
                continue  # a length that only the end of the file suggests
            found.append(_Proved(claim, verdict.state, verdict.source, in_directory))
            if in_directory:
                break
        return found

    def _outcome(self, want: Wanted, found: list[_Proved], free: list[_Proved]) -> Outcome:
        if not found:
            return Outcome(None, self._why_not(want))
        if not free:
            return Outcome(None, "its record overlaps another one")
        if len({one.claim.start for one in free}) > 1:
            return Outcome(None, f"{len(free)} records claim to be it, each with a true checksum")
        note = ""
        if free[0].state == "unproved" and self.prover.has_crcs:
            note = "all of its bytes are there, but its checksum is cut off"
        return Outcome(free[0].source, "", note)

    def _why_not(self, want: Wanted) -> str:
        full = self.root + want.name
        entry = self.index.get(full)
        if entry is not None:
            if entry.usize < want.nbytes:
                return f"its record has {entry.usize} bytes, its tensors need {want.nbytes}"
            return "its bytes do not have the CRC-32 that is recorded for them"
        places = [self.remains[index] for index in self._by_name.get(full, ())]
        if not places:
            has = f"{self.file.nbytes:,} bytes"
            return f"its record {want.name} is not in the file, which has {has}"
        missing = places[0].start + want.nbytes - self.file.nbytes
        if missing > 0:
            return f"the file ends {missing:,} bytes before the end of this tensor"
        return "its bytes do not have their CRC-32, or what follows them is none"


def _longest(pair: tuple[Wanted, list[_Proved]]) -> int:
    return -max((one.claim.csize for one in pair[1]), default=0)


def _overlaps(spans: list[tuple[int, int]], claim: Claim) -> bool:
    place = bisect_right(spans, (claim.start, 1 << 63))
    before = place > 0 and spans[place - 1][1] > claim.start
    return before or (place < len(spans) and spans[place][0] < claim.stop)


def _insert(spans: list[tuple[int, int]], span: tuple[int, int]) -> None:
    spans.insert(bisect_right(spans, span), span)
