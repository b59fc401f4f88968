"""Files that are no PyTorch checkpoint, each refused with what it is and what to do."""

from __future__ import annotations

import re
from typing import NamedTuple

from ckptkit.errors import (
    CkptkitError,
    ForeignFormatError,
    HtmlPageError,
    LfsPointerError,
    TruncatedFileError,
    UnknownFormatError,
)
from ckptkit.protocols import Probe


class Magic(NamedTuple):
    """Bytes that a format begins with, its name, and what its owner can do."""

    offset: int
    data: bytes
    what: str
    advice: str


_UNPACK = "unpack it first: the checkpoint may be inside"
_MAGICS = (
    Magic(0, b"GGUF", "a GGUF file (llama.cpp)", "look for the safetensors it was made from"),
    Magic(0, b"ggml", "a GGML file (llama.cpp)", "look for the checkpoint it was made from"),
    Magic(0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras .h5)", "load it with Keras or h5py"),
    Magic(0, b"\x93NUMPY", "a NumPy .npy array", "load it with numpy.load"),
    Magic(0, b"|TZR|", "a tensorizer file", "load it with tensorizer and torch.save the result"),
    Magic(0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    Magic(0, b"\x1f\x8b", "a gzip file", "gunzip it first: the checkpoint may be inside"),
    Magic(0, b"BZh", "a bzip2 file", "bunzip2 it first: the checkpoint may be inside"),
    Magic(0, b"\xfd7zXZ\x00", "an xz file", "unxz it first: the checkpoint may be inside"),
    Magic(0, b"\x28\xb5\x2f\xfd", "a zstandard file", "unzstd it first"),
    Magic(0, b"\x04\x22\x4d\x18", "an LZ4 file", "unlz4 it first"),
    Magic(0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    Magic(0, b"PK\x05\x06", "an empty zip archive", "save or fetch the checkpoint again"),
    Magic(0, b"PK\x07\x08", "a zip archive in parts", "join the parts first"),
    Magic(4, b"TFL3", "a TensorFlow Lite model", "load it with TensorFlow"),
    Magic(4, b"ftyp", "a video or audio file", ""),
    Magic(0, b"\x7fELF", "a Linux program or library", ""),
    Magic(0, b"MZ", "a Windows program or library", ""),
    Magic(0, b"\xcf\xfa\xed\xfe", "a macOS program or library", ""),
    Magic(0, b"%PDF", "a PDF document", ""),
    Magic(0, b"\x89PNG", "a PNG image", ""),
    Magic(0, b"\xff\xd8\xff", "a JPEG image", ""),
    Magic(0, b"GIF8", "a GIF image", ""),
    Magic(0, b"RIFF", "a RIFF file (audio, video or WebP)", ""),
    Magic(0, b"SQLite format 3\x00", "an SQLite database", ""),
    Magic(0, b"PAR1", "a Parquet file", ""),
    Magic(0, b"ARROW1", "an Arrow file", ""),
)
_HDF5_OFFSETS = (512, 1024, 2048)  # an HDF5 file may begin with a block of its user's

_LFS = re.compile(rb"version https?://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v")
_LFS_FACTS = re.compile(rb"oid sha256:([0-9a-f]{64})\s+size (\d{1,18})\s")
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.{0,2000}?-->\s*)?"
    rb"<(?:!doctype html|html|head|body|\?xml|title)\b",
    re.DOTALL | re.IGNORECASE,
)
_TITLE = re.compile(rb"(?i)<title[^>]{0,200}>([^<]{1,200})")
_TEXT_BYTES = bytes({*range(32, 127), 9, 10, 13, *range(128, 256)})
# A protobuf that begins with a small ir_version and then names its producer: ONNX.
_ONNX = re.compile(rb"\x08[\x01-\x20](?:\x12[\x01-\x7f][\x20-\x7e]{3}|\x3a)")


def foreign_error(probe: Probe) -> CkptkitError:
    """The error that fits a file which no container opens, from its first bytes."""
    head = probe.head
    for recognise in (_lfs, _html, _magic, _json, _blank, _onnx):
        found = recognise(probe)
        if found is not None:
            return found
    if not head.translate(None, _TEXT_BYTES) and _is_utf8(head):
        return UnknownFormatError(
            probe.path, f"is plain text that begins with {_first_line(head)}", "a checkpoint",
            "name the checkpoint file itself, not a list, a log or a configuration",
        )  # fmt: skip
    return UnknownFormatError(
        probe.path, f"begins with the bytes {head[:8].hex(' ')}, which no known checkpoint does",
        "a file of torch.save, pickle or safetensors",
        "if a framework wrote it, look for its plugin or export it from there",
    )  # fmt: skip


def _lfs(probe: Probe) -> CkptkitError | None:
    if not _LFS.match(probe.head):
        return None
    facts = _LFS_FACTS.search(probe.head)
    size = f" of {int(facts[2])} bytes" if facts else ""
    return LfsPointerError(
        probe.path, f"is a Git LFS pointer: the note that stands for a file{size}",
        "the file itself", "run `git lfs pull` in its repository, or download the file itself",
    )  # fmt: skip


def _html(probe: Probe) -> CkptkitError | None:
    if not _HTML.match(probe.head):
        return None
    title = _TITLE.search(probe.head)
    called = f" called {_first_line(title[1].strip())}" if title else ""
    return HtmlPageError(
        probe.path, f"is a web page{called}, not a checkpoint", "",
        "the download answered with a page: check the address, log in if it asks, fetch it again",
    )  # fmt: skip


def _magic(probe: Probe) -> CkptkitError | None:
    for magic in _MAGICS:
        if probe.head.startswith(magic.data, magic.offset):
            return _foreign(probe, magic.what, magic.advice)
    if any(probe.head.startswith(_MAGICS[2].data, offset) for offset in _HDF5_OFFSETS):
        return _foreign(probe, _MAGICS[2].what, _MAGICS[2].advice)
    return None


def _json(probe: Probe) -> CkptkitError | None:
    text = probe.head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith((b"{", b"[")) or probe.head.translate(None, _TEXT_BYTES):
        return None
    if b'"weight_map"' in probe.head:
        return _foreign(
            probe, "the index of a sharded checkpoint", "name its folder: the shards lie beside it"
        )
    return _foreign(probe, "a JSON text", "name the folder it lies in, or the weights beside it")


def _blank(probe: Probe) -> CkptkitError | None:
    if probe.head.strip(b"\x00"):
        return None
    return TruncatedFileError(
        probe.path, f"begins with {len(probe.head)} zero bytes", "a checkpoint",
        "the disk reserved the file but never got its content: use an older checkpoint",
    )  # fmt: skip


def _onnx(probe: Probe) -> CkptkitError | None:
    if not _ONNX.match(probe.head):
        return None
    return _foreign(probe, "an ONNX model (protobuf)", "export the weights from where it was made")


def _foreign(probe: Probe, what: str, advice: str) -> ForeignFormatError:
    return ForeignFormatError(probe.path, f"is {what}", "a PyTorch checkpoint", advice)


def _is_utf8(head: bytes) -> bool:
    try:
        head[: len(head) - 3].decode("utf-8")
    except UnicodeDecodeError as exc:
        return exc.start > len(head) - 8  # the head may end inside a character
    return True


def _first_line(head: bytes) -> str:
    """The beginning of a text, in ASCII and without anything a terminal would obey."""
    line = head.split(b"\n", 1)[0][:60].decode("utf-8", "replace").strip()
    return ascii(line)
