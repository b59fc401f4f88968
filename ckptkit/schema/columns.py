"""The tensor table on the wire: columns of packed bytes and integers, and back.

Source: docs/format.md section "Manifest fields", field ``tensors``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain, islice
from typing import Any, NoReturn

from ckptkit.errors import LimitExceededError, ManifestError
from ckptkit.schema.tensor_table import DIGEST_NBYTES, FLAVOURS, SharedStorage, TensorTable
from ckptkit.types import DTYPES, Limits

_REQUIRES_GRAD = 0x80  # the high bit of a row's flavour byte
_REQUIRED = (
    "count", "names", "dtypes", "ranks", "dims", "files", "starts", "stops", "digests", "flavours",
)  # fmt: skip
_SPARSE = ("devices", "numpy_dtypes", "strides", "shared")
_MAX_INT = 2**63 - 1
_BYTE_WORDS = 256
MAX_DTYPE_CHARS = 65_536  # structured dtypes name all their fields


def dump_table(table: TensorTable) -> dict[str, Any]:
    """Return the columns as msgpack values; columns that say nothing are left out."""
    grads = [_REQUIRES_GRAD if grad else 0 for grad in table.requires_grad]
    flavours = map(FLAVOURS.index, table.flavours)
    wire: dict[str, Any] = {
        "count": len(table.names),
        "names": table.names,
        "dtypes": _dump_words(table.dtypes),
        "ranks": bytes(map(len, table.shapes)),
        "dims": list(chain.from_iterable(table.shapes)),
        "files": table.files,
        "starts": table.starts,
        "stops": table.stops,
        "digests": table.digests,
        "flavours": bytes(map(int.__or__, flavours, grads)),
    }
    if any(device != "cpu" for device in table.devices):
        wire["devices"] = _dump_words(table.devices)
    if table.numpy_dtypes:
        wire["numpy_dtypes"] = sorted(table.numpy_dtypes.items())
    if table.strides:
        wire["strides"] = sorted(table.strides.items())
    if table.shared:
        wire["shared"] = table.shared
    return wire | {key: value for key, value in table.unknown.items() if key not in wire}


def _dump_words(words: Sequence[str]) -> list[Any]:
    """Write a column of few different words as those words and their numbers.

    A number takes one byte; four where a strange file brings more words than that can tell apart.
    """
    order = {word: index for index, word in enumerate(dict.fromkeys(words))}
    numbers = list(map(order.__getitem__, words))
    shown = [word.encode("utf-8", "backslashreplace").decode() for word in order]
    if len(order) <= _BYTE_WORDS:
        return [shown, bytes(numbers)]
    return [shown, struct.pack(f">{len(numbers)}I", *numbers)]


def parse_table(wire: Any, where: str, limits: Limits) -> TensorTable:
    """Read the columns: types and lengths are checked here, their meaning by ``check_manifest``.

    Raises: ManifestError, LimitExceededError.
    """
    reader = _ColumnReader(wire, f"{where}: tensors", limits)
    kinds = reader.column_of_bytes("flavours", 1)
    if kinds and max(kind & ~_REQUIRES_GRAD for kind in set(kinds)) >= len(FLAVOURS):
        reader.refuse("flavours", "a flavour without a name")
    flavours = {kind: FLAVOURS[kind & ~_REQUIRES_GRAD] for kind in set(kinds)}
    return TensorTable(
        names=reader.strings(),
        dtypes=reader.words("dtypes"),
        shapes=reader.shapes(),
        files=reader.integers("files", -1),
        starts=reader.integers("starts", 0),
        stops=reader.integers("stops", 0),
        digests=reader.column_of_bytes("digests", DIGEST_NBYTES),
        flavours=[flavours[kind] for kind in kinds],
        requires_grad=[kind >= _REQUIRES_GRAD for kind in kinds],
        devices=reader.words("devices") if "devices" in wire else ["cpu"] * reader.count,
        numpy_dtypes=reader.numpy_dtypes(),
        strides=reader.strides(),
        shared=reader.shared(),
        unknown={key: wire[key] for key in wire if key not in _REQUIRED and key not in _SPARSE},
    )


class _ColumnReader:
    """Reads columns of one table, each exactly as long as the table says."""

    def __init__(self, wire: Any, where: str, limits: Limits) -> None:
        self.where, self.limits, self.wire = where, limits, wire
        if type(wire) is not dict:
            self.refuse("table", f"a {type(wire).__name__}")
        missing = [name for name in _REQUIRED if name not in wire]
        if missing:
            self.refuse(missing[0], "missing")
        self.count = wire["count"]
        if type(self.count) is not int or self.count < 0:
            self.refuse("count", "no count")

    def refuse(self, column: str, seen: str) -> NoReturn:
        """Raise ManifestError for one column."""
        raise ManifestError(
            f"{self.where}: {column}", seen, 'a column as docs/format.md "Manifest fields" has it'
        )

    def strings(self) -> list[str]:
        """Read the names."""
        names = self._list("names", self.count)
        if set(map(type, names)) - {str}:
            self.refuse("names", "a name that is no string")
        return names

    def words(self, column: str) -> list[str]:
        """Read a column of words: [[word, ...], one number a row]."""
        wire = self.wire[column]
        if type(wire) is not list or len(wire) != 2 or type(wire[0]) is not list:
            self.refuse(column, "no list of words and their numbers")
        words, numbers = wire
        if set(map(type, words)) - {str} or type(numbers) is not bytes:
            self.refuse(column, "words that are no strings, or numbers that are no bytes")
        if len(words) > _BYTE_WORDS and len(numbers) == 4 * self.count:
            numbers = struct.unpack(f">{self.count}I", numbers)
        if len(numbers) != self.count or (numbers and max(numbers) >= len(words)):
            self.refuse(column, f"{len(numbers)} numbers for {len(words)} words")
        unknown = [word for word in words if word not in DTYPES] if column == "dtypes" else []
        if unknown:
            self.refuse(column, f"unknown dtype {unknown[0]!a:.60}")
        return list(map(words.__getitem__, numbers))

    def shapes(self) -> list[tuple[int, ...]]:
        """Read ranks and dims."""
        ranks = self.column_of_bytes("ranks", 1)
        if ranks and max(ranks) > self.limits.max_rank:
            raise LimitExceededError(
                f"{self.where}: ranks", f"{max(ranks)} dimensions", f"{self.limits.max_rank}",
                "raise the limit max_rank",
            )  # fmt: skip
        dims = iter(self._integers("dims", sum(ranks), 0))
        return [tuple(islice(dims, rank)) for rank in ranks]

    def integers(self, column: str, least: int) -> list[int]:
        """Read a column of one integer a row."""
        return self._integers(column, self.count, least)

    def _integers(self, column: str, count: int, least: int) -> list[int]:
        values = self._list(column, count)
        if values and set(map(type, values)) != {int}:
            self.refuse(column, "something that is no integer")
        if values and not (least <= min(values) and max(values) <= _MAX_INT):
            self.refuse(column, f"an integer outside {least}..{_MAX_INT}")
        return values

    def column_of_bytes(self, column: str, width: int) -> bytes:
        """Read a column of ``width`` bytes a row."""
        value = self.wire[column]
        if type(value) is not bytes or len(value) != width * self.count:
            self.refuse(column, f"not {width} bytes a row")
        return value

    def numpy_dtypes(self) -> dict[int, str]:
        """Read the pairs of row and numpy dtype."""
        pairs = self._pairs("numpy_dtypes")
        if any(type(name) is not str or not name for name in pairs.values()):
            self.refuse("numpy_dtypes", "a dtype that is no string")
        if any(len(name) > MAX_DTYPE_CHARS or not name.isprintable() for name in pairs.values()):
            self.refuse("numpy_dtypes", "a dtype that is too long or does not print")
        return pairs

    def strides(self) -> dict[int, tuple[int, ...]]:
        """Read the pairs of row and strides."""
        made = {}
        for row, strides in self._pairs("strides").items():
            self._check_integers("strides", strides)
            made[row] = tuple(strides)
            if len(strides) != self.wire["ranks"][row]:
                self.refuse("strides", f"{len(strides)} strides for row {row}")
        return made

    def shared(self) -> tuple[SharedStorage, ...]:
        """Read the groups of leaves that shared a storage."""
        groups = []
        for group in self._list("shared", None) if "shared" in self.wire else []:
            if type(group) is not list or len(group) != 2 or type(group[1]) is not list:
                self.refuse("shared", "no size and views")
            self._check_integers("shared", [group[0]])
            for view in group[1]:
                self._check_integers("shared", view)
                if len(view) != 2 or view[0] >= self.count:
                    self.refuse("shared", "a view of no row")
            groups.append(SharedStorage(group[0], tuple((row, at) for row, at in group[1])))
        return tuple(groups)

    def _pairs(self, column: str) -> dict[int, Any]:
        """Read [[row, value], ...] of an optional column: rows ascending, none twice."""
        pairs = self._list(column, None) if column in self.wire else []
        if any(type(pair) is not list or len(pair) != 2 for pair in pairs):
            self.refuse(column, "something that is no pair")
        rows = [pair[0] for pair in pairs]
        self._check_integers(column, rows)
        if rows and (sorted(set(rows)) != rows or rows[-1] >= self.count):
            self.refuse(column, "rows out of order or out of range")
        return {row: value for row, value in pairs}  # noqa: C416 - pairs are lists

    def _list(self, column: str, count: int | None) -> list[Any]:
        values = self.wire[column]
        if type(values) is not list or (count is not None and len(values) != count):
            self.refuse(column, f"no array of {count} items" if count is not None else "no array")
        return values

    def _check_integers(self, column: str, values: Any) -> None:
        if type(values) is not list or any(
            type(value) is not int or not 0 <= value <= _MAX_INT for value in values
        ):
            self.refuse(column, "something that is no integer from 0 on")
