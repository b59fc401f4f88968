"""What a manifest must obey, checked on reading and before writing alike.

Source: docs/format.md sections "Manifest fields" and "Reading rules".
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from ckptkit.errors import ManifestError, NewerSchemaError, UnsafePathError
from ckptkit.schema.tensor_table import DIGEST_NBYTES, NO_DIGEST, NO_FILE, TensorTable
from ckptkit.types import DTYPES, MANIFEST_NAME

if TYPE_CHECKING:  # manifest.py imports this module
    from ckptkit.schema.manifest import FileEntry, Manifest, SectionEntry

FILE_KINDS = ("data", "side", "index")
SECTION_VERSIONS: Mapping[str, int] = {
    "model": 1, "ema": 1, "optimizer": 1, "scheduler": 1, "scaler": 1, "rng": 1, "data": 1,
    "progress": 1, "metrics": 1, "history": 1, "config": 1, "trackers": 1, "provenance": 1,
    "extra": 1,
}  # fmt: skip
_MAX_NAME_NBYTES = 255  # of one component of a file name, as file systems limit it
_RESERVED = (MANIFEST_NAME,)


def _refuse(where: str, seen: str, expected: str = "") -> NoReturn:
    raise ManifestError(where, seen, expected or "what docs/format.md says")


def check_header(body: dict[str, Any], where: str, newest: int) -> None:
    """Check that the fields are there, have their types, and a schema that we know.

    Raises: NewerSchemaError before anything else of the body is looked at; ManifestError.
    """
    if body.get("format") != "ckptkit":
        _refuse(where, "a msgpack file that is no ckptkit manifest", 'format "ckptkit"')
    schema = body.get("schema")
    if type(schema) is not int or schema < 2:
        _refuse(where, f"schema {schema!a:.40}", "an integer from 2 on")
    if schema > newest:
        raise NewerSchemaError(
            where, f"schema version {schema}", f"at most {newest}, the newest known here",
            "upgrade ckptkit to read this checkpoint",
        )  # fmt: skip
    types = {"writer": str, "created": str, "sections": list, "files": list, "tensors": dict}
    for name, kind in types.items():
        if type(body.get(name)) is not kind:
            seen = type(body[name]).__name__ if name in body else "missing"
            _refuse(f"{where}: {name}", seen, f"a {kind.__name__}")
    if type(body.get("trainer", "")) is not str:
        _refuse(f"{where}: trainer", type(body["trainer"]).__name__, "a str")
    _check_entries(body["sections"], (str, int, list), f"{where}: sections")
    _check_entries(body["files"], (str, int, str, bytes), f"{where}: files")


def _check_entries(entries: list[Any], types: tuple[type, ...], where: str) -> None:
    for index, entry in enumerate(entries):
        if type(entry) is not list or tuple(map(type, entry)) != types:
            _refuse(
                f"{where}[{index}]", "an entry of other types", str([t.__name__ for t in types])
            )


def check_manifest(manifest: Manifest, where: str) -> None:
    """Check everything that needs no other file.

    Raises: ManifestError, NewerSchemaError (a section), UnsafePathError (a file name).
    """
    check_files(manifest.files, f"{where}: files")
    check_table(manifest.tensors, manifest.files, f"{where}: tensors")
    check_sections(manifest.sections, f"{where}: sections", manifest.trainer)
    if not manifest.trainer.isprintable():
        _refuse(f"{where}: trainer", f"{manifest.trainer!a:.60}", "a printable name")


def check_files(files: Sequence[FileEntry], where: str) -> None:
    """Names stay inside the folder and differ even where case does not count."""
    folded: set[str] = set()
    for entry in files:
        check_file_name(entry.name, where)
        if entry.name.casefold() in folded:
            _refuse(where, f"two files named {entry.name!a}")
        folded.add(entry.name.casefold())
        if entry.kind not in FILE_KINDS:
            _refuse(where, f"{entry.name!a} of kind {entry.kind!a:.40}", " or ".join(FILE_KINDS))
        if entry.kind == "data" and not entry.name.endswith(".safetensors"):
            _refuse(where, f"data file {entry.name!a}", "a name that ends in .safetensors")
        if not 0 <= entry.nbytes < 2**63:
            _refuse(where, f"{entry.name!a} of {entry.nbytes} bytes")
        if len(entry.digest) not in (0, DIGEST_NBYTES):
            _refuse(where, f"a digest of {len(entry.digest)} bytes for {entry.name!a}")


def check_file_name(name: str, where: str) -> None:
    """Accept a plain relative POSIX path. Raises: UnsafePathError."""
    pieces = name.split("/")
    if (
        not name.isprintable()
        or any(char in name for char in '\\:*?"<>|')
        or any(piece in ("", ".", "..") or piece.endswith((" ", ".")) for piece in pieces)
        or any(len(piece.encode("utf-8", "replace")) > _MAX_NAME_NBYTES for piece in pieces)
        or name.casefold() in _RESERVED
    ):
        raise UnsafePathError(
            where, f"a file named {name!a:.300}", "a plain relative path inside the folder"
        )


def check_sections(sections: Sequence[SectionEntry], where: str, trainer: str = "") -> None:
    """Names differ and versions are known; the tokens are checked by who unflattens them.

    The versions of a ``trainer`` are its own: every layout of it is tokens and tensors alike.
    """
    names = [entry.name for entry in sections]
    if len(set(names)) != len(names):
        _refuse(where, "two sections of one name")
    for entry in sections:
        if not entry.name or not entry.name.isprintable():
            _refuse(where, f"a section named {entry.name!a:.60}", "a printable name")
        known = SECTION_VERSIONS.get(entry.name)
        if entry.version < 1:
            _refuse(where, f"{entry.name!a} version {entry.version}", "a version from 1 on")
        if not trainer and known is not None and entry.version > known:
            raise NewerSchemaError(
                f"{where}: {entry.name}", f"section version {entry.version}", f"at most {known}",
                "upgrade ckptkit to read this checkpoint",
            )  # fmt: skip


def check_table(table: TensorTable, files: Sequence[FileEntry], where: str) -> None:
    """Every row lies inside its file, has the bytes its shape needs, and shares none of them."""
    rows = len(table.names)
    columns = (table.dtypes, table.shapes, table.files, table.starts, table.stops, table.flavours)
    if any(len(column) != rows for column in (*columns, table.requires_grad, table.devices)):
        _refuse(where, "columns of different lengths")
    if len(table.digests) != DIGEST_NBYTES * rows:
        _refuse(where, f"{len(table.digests)} bytes of digests", f"{DIGEST_NBYTES} a row")
    unknown = set(table.dtypes) - DTYPES.keys()
    if unknown:
        _refuse(where, f"unknown dtype {min(unknown)!a:.60}")
    if len(set(table.names)) != rows:
        _check_names(table, where)
    _check_homes(table, files, where)
    ordered = _is_in_order(table)
    _check_ends(table, files, ordered, where)
    _check_sizes(table, where)
    if not ordered:
        _check_overlaps(table, where)


def _is_in_order(table: TensorTable) -> bool:
    """Say whether every row starts where, or after, the one before it ends: the usual case."""
    starts = zip(table.files[1:], table.starts[1:], strict=True)
    return all(map(operator.le, zip(table.files, table.stops, strict=True), starts))


def _check_names(table: TensorTable, where: str) -> None:
    """Names differ within a file; what lies in no file needs no name."""
    names = [pair for pair in zip(table.files, table.names, strict=True) if pair[0] != NO_FILE]
    if len(set(names)) != len(names):
        _refuse(where, "one name twice in one file")


def _check_homes(table: TensorTable, files: Sequence[FileEntry], where: str) -> None:
    """Check that each row lies in a file of its kind; meta tensors lie in none."""
    kinds = {"data": False, "side": True}
    allowed = {(i, kinds[entry.kind]) for i, entry in enumerate(files) if entry.kind in kinds}
    for home in set(zip(table.files, table.flavours, strict=True)):
        file, flavour = home
        fits = file == NO_FILE if flavour == "meta" else (file, flavour == "blob") in allowed
        if not fits:
            row = list(zip(table.files, table.flavours, strict=True)).index(home)
            _refuse(where, f"{flavour} {table.names[row]!a:.200} in file {file} of {len(files)}")
    if "meta" in table.flavours:
        _check_meta(table, where)


def _check_meta(table: TensorTable, where: str) -> None:
    for row, flavour in enumerate(table.flavours):
        has_bytes = table.starts[row] or table.stops[row] or table.digest(row) != NO_DIGEST
        if flavour == "meta" and has_bytes:
            _refuse(where, f"meta tensor {table.names[row]!a:.200} with bytes or a digest")
        if flavour == "meta":
            nbytes = DTYPES[table.dtypes[row]].nbytes * math.prod(table.shapes[row])
            if nbytes >= 2**63:  # nothing else bounds what has no bytes
                seen = f"meta tensor {table.names[row]!a:.200} of absurd size"
                _refuse(where, seen, "less than 2**63 bytes")


def _check_ends(table: TensorTable, files: Sequence[FileEntry], ordered: bool, where: str) -> None:
    """Check that nothing ends beyond its file."""
    pairs = zip(table.files, table.stops, strict=True)
    ends = dict(pairs if ordered else sorted(pairs))  # the last, and largest, stop of each file
    for file, end in ends.items():
        if file != NO_FILE and end > files[file].nbytes:
            row = list(zip(table.files, table.stops, strict=True)).index((file, end))
            _refuse(where, f"{table.names[row]!a:.200} ends at byte {end}, beyond its file")


def _check_sizes(table: TensorTable, where: str) -> None:
    nbytes = {word: DTYPES[word].nbytes for word in set(table.dtypes)}
    numels = map(math.prod, table.shapes)
    sizes = list(map(operator.mul, map(nbytes.__getitem__, table.dtypes), numels))
    spans = list(map(operator.sub, table.stops, table.starts))
    if sizes == spans:
        return
    for row, (size, span) in enumerate(zip(sizes, spans, strict=True)):
        if size != span and table.flavours[row] != "meta":
            seen = f"{table.names[row]!a:.200} has {span} bytes"
            _refuse(where, seen, f"{size} for {table.dtypes[row]} {list(table.shapes[row])!s:.200}")


def _check_overlaps(table: TensorTable, where: str) -> None:
    spans = zip(table.files, table.starts, table.stops, range(len(table.names)), strict=True)
    filled = sorted(span for span in spans if span[1] != span[2])
    for left, right in pairwise(filled):
        if left[0] == right[0] and left[2] > right[1]:
            names = f"{table.names[left[3]]!a:.200} and {table.names[right[3]]!a:.200}"
            _refuse(where, f"{names} overlap")
