"""What a manifest must obey, checked on reading and before writing alike.

Source: docs/format.md sections "Manifest fields" and "Reading rules".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from ckptkit.errors import ManifestError, NewerSchemaError, UnsafePathError
from ckptkit.schema.tensor_table import DIGEST_NBYTES, NO_DIGEST, NO_FILE, TensorTable
from ckptkit.types import DTYPES

if TYPE_CHECKING:  # manifest.py imports this module
    from ckptkit.schema.manifest import FileEntry, Manifest, SectionEntry

FILE_KINDS = ("data", "side", "index")
SECTION_VERSIONS: Mapping[str, int] = {
    "model": 1, "ema": 1, "optimizer": 1, "scheduler": 1, "scaler": 1, "rng": 1, "data": 1,
    "progress": 1, "metrics": 1, "history": 1, "config": 1, "trackers": 1, "provenance": 1,
    "extra": 1,
}  # fmt: skip
_TENSOR, _BLOB = 6, 7  # token codes that carry the number of a leaf
_MAX_NAME_NBYTES = 255  # of one component of a file name, as file systems limit it
_RESERVED = ("manifest.msgpack",)


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
    check_sections(manifest.sections, len(manifest.tensors.names), f"{where}: sections")


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


def check_sections(sections: Sequence[SectionEntry], n_leaves: int, where: str) -> None:
    """Names differ, versions are known, and tokens name leaves that exist."""
    names = [entry.name for entry in sections]
    if len(set(names)) != len(names):
        _refuse(where, "two sections of one name")
    for entry in sections:
        if not entry.name or not entry.name.isprintable():
            _refuse(where, f"a section named {entry.name!a:.60}", "a printable name")
        known = SECTION_VERSIONS.get(entry.name)
        if entry.version < 1:
            _refuse(where, f"{entry.name!a} version {entry.version}", "a version from 1 on")
        if known is not None and entry.version > known:
            raise NewerSchemaError(
                f"{where}: {entry.name}", f"section version {entry.version}", f"at most {known}",
                "upgrade ckptkit to read this checkpoint",
            )  # fmt: skip
        _check_leaves(entry, n_leaves, where)


def _check_leaves(entry: SectionEntry, n_leaves: int, where: str) -> None:
    leaves = [
        token[1] for token in entry.tokens
        if type(token) in (list, tuple) and len(token) > 1 and token[0] in (_TENSOR, _BLOB)
    ]  # fmt: skip
    if leaves and set(map(type, leaves)) != {int}:
        _refuse(f"{where}: {entry.name}", "a leaf whose number is no integer")
    if leaves and not 0 <= min(leaves) <= max(leaves) < n_leaves:
        seen = f"leaves {min(leaves)} to {max(leaves)}"
        _refuse(f"{where}: {entry.name}", seen, f"leaves of a table of {n_leaves} tensors")


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
    if len(set(zip(table.files, table.names, strict=True))) != rows:
        _refuse(where, "one name twice in one file")
    _check_homes(table, files, where)
    _check_sizes(table, where)
    _check_overlaps(table, where)


def _check_homes(table: TensorTable, files: Sequence[FileEntry], where: str) -> None:
    """Check that each row lies in a file of its kind; meta tensors lie in none."""
    allowed = {(index, entry.kind == "side") for index, entry in enumerate(files)}
    for home in set(zip(table.files, table.flavours, strict=True)):
        file, flavour = home
        fits = file == NO_FILE if flavour == "meta" else (file, flavour == "blob") in allowed
        if not fits or (file != NO_FILE and files[file].kind == "index"):
            row = list(zip(table.files, table.flavours, strict=True)).index(home)
            _refuse(where, f"{flavour} {table.names[row]!a:.200} in file {file} of {len(files)}")
    ends: dict[int, int] = {}
    for file, stop in zip(table.files, table.stops, strict=True):
        if stop > ends.get(file, 0):
            ends[file] = stop
    for file, end in ends.items():
        if end > (0 if file == NO_FILE else files[file].nbytes):
            row = list(zip(table.files, table.stops, strict=True)).index((file, end))
            _refuse(where, f"{table.names[row]!a:.200} ends at byte {end}, beyond its file")
    if "meta" in table.flavours:
        _check_meta(table, where)


def _check_meta(table: TensorTable, where: str) -> None:
    for row, flavour in enumerate(table.flavours):
        if flavour == "meta" and (table.starts[row] or table.digest(row) != NO_DIGEST):
            _refuse(where, f"meta tensor {table.names[row]!a:.200} with bytes or a digest")


def _check_sizes(table: TensorTable, where: str) -> None:
    nbytes = {word: DTYPES[word].nbytes for word in set(table.dtypes)}
    sizes = map(int.__mul__, map(nbytes.__getitem__, table.dtypes), map(math.prod, table.shapes))
    spans = map(int.__sub__, table.stops, table.starts)
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
