"""The manifest of a version 2 checkpoint: its value, its bytes, and back.

Source: docs/format.md sections "Manifest framing" and "Manifest fields".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ckptkit.schema.columns import dump_table, parse_table
from ckptkit.schema.framing import dump_frame, parse_body, parse_frame
from ckptkit.schema.tensor_table import TensorTable
from ckptkit.schema.validate import check_header, check_manifest
from ckptkit.types import DEFAULT_LIMITS, Limits

FORMAT = "ckptkit"
SCHEMA = 2


class SectionEntry(NamedTuple):
    """One section: its name, the version of its own layout, its tree as tokens."""

    name: str
    version: int
    tokens: Sequence[Any]


class FileEntry(NamedTuple):
    """One file of the folder. ``kind``: "data" (safetensors), "side" (travels as it is), "index".

    ``digest`` is an xxh3-128: of a side file whole, of a data file its header with the 8 bytes
    of length (its tensors have digests of their own); empty where nobody took one.
    """

    name: str
    nbytes: int
    kind: str
    digest: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a checkpoint is. ``created`` is the caller's word, RFC 3339 by custom.

    ``trainer`` names the program that counts the versions of the sections; "" is nobody.
    ``unknown`` holds the fields that this version of the reader does not know, to be kept.
    """

    writer: str
    created: str = ""
    sections: Sequence[SectionEntry] = ()
    tensors: TensorTable = field(default_factory=TensorTable)
    files: Sequence[FileEntry] = ()
    schema: int = SCHEMA
    trainer: str = ""
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def section(self, name: str) -> SectionEntry | None:
        """Return the section of this name, if there is one."""
        return next((entry for entry in self.sections if entry.name == name), None)


def dump_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of the manifest file. They are parsed back by ``parse_manifest``.

    Raises: ManifestError if the manifest breaks its own law; LimitExceededError from 4 GiB on.
    """
    check_manifest(manifest, "manifest")
    body = {
        "format": FORMAT,
        "schema": manifest.schema,
        "writer": manifest.writer,
        "created": manifest.created,
        "sections": manifest.sections,
        "files": manifest.files,
        "tensors": dump_table(manifest.tensors),
    }
    if manifest.trainer:
        body["trainer"] = manifest.trainer
    known = {key: value for key, value in manifest.unknown.items() if key not in body}
    return dump_frame(body | known)


def parse_manifest(
    data: bytes, where: str, limits: Limits = DEFAULT_LIMITS, *, check_digest: bool = True
) -> Manifest:
    """Read a manifest, and check everything in it that can be checked without the other files.

    Without ``check_digest`` its bytes may be damaged where that breaks no rule.
    Raises: NewerSchemaError, which names both versions; TruncatedFileError and ChecksumError
    for damaged bytes; LimitExceededError; ManifestError for anything else.
    """
    frame = parse_frame(data, where, limits, check_digest=check_digest)
    body = parse_body(frame, where)
    check_header(body, where, SCHEMA)
    fields = {name: body.pop(name) for name in _FIELDS}
    del body["format"]
    trainer = body.pop("trainer", "")
    manifest = Manifest(
        writer=fields["writer"],
        created=fields["created"],
        sections=[SectionEntry(*entry) for entry in fields["sections"]],
        files=[FileEntry(*entry) for entry in fields["files"]],
        tensors=parse_table(fields["tensors"], where, limits),
        schema=fields["schema"],
        trainer=trainer,
        unknown=body,
    )
    check_manifest(manifest, where)
    return manifest


_FIELDS = ("schema", "writer", "created", "sections", "files", "tensors")
