"""Files that are two things at once, or not what their name says."""

from __future__ import annotations

import io
import json
import pickle as p
import struct
import zipfile
from collections.abc import Iterator

from tests.attacks import build_pickle as b
from tests.attacks.build_legacy import MAGIC, legacy, tar_members, write_tar
from tests.attacks.build_safetensors import entry, frame, safetensors
from tests.attacks.build_zip import End, members, torch_zip, write_zip
from tests.attacks.case import Case, Name, file_of

EVIL = b.stream(b.os_system())
SYS: tuple[Name, ...] = (("posix", "system"),)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


def _npz(member: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(member), data)  # without the time of day
    return out.getvalue()


def polyglots() -> Iterator[tuple[str, bytes, tuple[Name, ...]]]:
    """Rows of (title, bytes, names that scan must see whatever it takes the file for)."""
    zipped = torch_zip()
    yield "pickle-then-zip", EVIL + zipped, SYS
    yield "pickle-then-zip-shifted", write_zip(members(), End(prefix=EVIL)), SYS
    yield "zip-then-pickle", zipped + EVIL, ()
    yield "zip-comment-pickle", write_zip(members(), End(comment=EVIL)), ()
    yield "legacy-then-zip", legacy() + zipped, ()
    yield "evil-legacy-then-zip", legacy(EVIL) + zipped, SYS
    yield "magic-then-evil", MAGIC + EVIL, SYS
    yield "tar-then-zip", write_tar(tar_members()) + zipped, ()
    yield "evil-tar-then-zip", write_tar(tar_members(pickle=EVIL)) + zipped, SYS
    header = json.dumps({"__metadata__": {"format": "pt"}, "weight": entry()}).encode()
    yield "safetensors-then-zip", frame(header, bytes(16) + zipped), ()
    yield (
        "safetensors-zip-in-tensor",
        safetensors({"weight": entry("U8", [len(zipped)], [0, len(zipped)])}, zipped),
        (),
    )
    yield (
        "safetensors-pickle-in-metadata",
        safetensors({"__metadata__": {"x": EVIL.decode("latin1")}, "weight": entry()}),
        (),
    )
    # A length that begins like a pickle: 0x80 0x02 is also a fair little-endian number.
    body = json.dumps({"weight": entry()}).encode()
    body += b" " * (0x0280 - len(body))
    yield "safetensors-starts-like-pickle", struct.pack("<Q", 0x0280) + body + bytes(16), ()
    yield "safetensors-starts-like-zip", struct.pack("<Q", 0x04034B50) + body, ()
    yield "tar-starts-like-pickle", _tar_named(b"\x80\x02"), ()
    yield "html-then-zip", b"<!DOCTYPE html><html>" + zipped, ()
    yield "lfs-then-zip", LFS + zipped, ()
    yield "gguf-then-pickle", b"GGUF\x03\0\0\0" + EVIL, ()
    yield "npz-with-data-pkl", _npz("archive/data.pkl", EVIL), SYS
    yield "npz-object-array", _npz("arr_0.npy", b"\x93NUMPY\x01\0" + EVIL), ()
    yield "jar", _npz("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n"), ()
    yield "torchscript-constants-evil", write_zip([*members(), *members(EVIL, {})[:1]]), SYS
    script = members()
    script.append(script[0]._replace(name="archive/constants.pkl", data=EVIL))
    yield "torchscript-constants", write_zip(script), SYS
    script[-1] = script[-1]._replace(name="archive/code/__torch__.py", data=b.PYTHON.encode())
    script.append(script[0]._replace(name="archive/constants.pkl", data=b.stream(p.EMPTY_TUPLE)))
    yield "torchscript-code", write_zip(script), ()
    script.append(script[0]._replace(name="archive/attributes.pkl", data=EVIL))
    yield "torchscript-attributes", write_zip(script), SYS


def _tar_named(head: bytes) -> bytes:
    raw = bytearray(write_tar({"placeholder": b""} | tar_members()))
    raw[: len(head)] = head
    total = sum(raw[:148]) + 8 * 32 + sum(raw[156:512])
    raw[148:156] = f"{total:06o}\0 ".encode()
    return bytes(raw)


def disguises() -> Iterator[tuple[str, str, bytes, tuple[Name, ...], str]]:
    """Rows of (title, suffix, bytes, names, outcome)."""
    yield "pickle-as-safetensors", ".safetensors", EVIL, SYS, "any"
    yield "zip-as-safetensors", ".safetensors", torch_zip(EVIL), SYS, "any"
    yield "legacy-as-safetensors", ".safetensors", legacy(EVIL), SYS, "any"
    yield "tar-as-safetensors", ".safetensors", write_tar(tar_members(pickle=EVIL)), SYS, "any"
    yield "safetensors-as-pt", ".pt", safetensors(), (), "opened"
    yield "zip-as-json", ".json", torch_zip(), (), "opened"
    yield "pickle-as-json", ".json", EVIL, SYS, "any"
    yield "pickle-as-txt", ".txt", EVIL, SYS, "any"
    yield "pickle-as-png", ".png", EVIL, SYS, "any"
    yield "zip-as-ckpt", ".ckpt", torch_zip(EVIL), SYS, "any"
    yield "pickle-without-proto", ".pt", b.stream(b.os_system(), 0), SYS, "any"
    yield "pickle-after-newlines", ".pt", b"\n\n" + EVIL, (), "any"
    yield (
        "pickle-mark-first",
        ".pt",
        p.MARK + b.text(b.SHELL) + p.INST + b"posix\nsystem\n" + p.STOP,
        SYS,
        "any",
    )
    yield "empty", ".pt", b"", (), "refused"
    yield "one-byte", ".pt", b"\x80", (), "refused"
    yield "zeros", ".pt", bytes(4096), (), "refused"
    yield "lfs", ".pt", LFS, (), "refused"
    yield (
        "html",
        ".pt",
        b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>",
        (),
        "refused",
    )
    yield "json", ".pt", b'{"epoch": 1}', (), "refused"
    yield "gzip", ".pt", b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + bytes(20), (), "refused"
    yield "hdf5", ".h5", b"\x89HDF\r\n\x1a\n" + bytes(100), (), "refused"
    yield "gguf", ".gguf", b"GGUF" + struct.pack("<IQQ", 3, 2**63, 2**63), (), "refused"
    yield (
        "npy",
        ".npy",
        b"\x93NUMPY\x01\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}" + bytes(9),
        (),
        "refused",
    )
    yield "xz", ".pt", b"\xfd7zXZ\0" + bytes(40), (), "refused"
    yield "seven-zip", ".pt", b"7z\xbc\xaf\x27\x1c" + bytes(40), (), "refused"
    yield "text", ".pt", b"hello, this is no checkpoint\n" * 50, (), "refused"
    yield "shell", ".pt", b"#!/bin/sh\n" + b.SHELL.encode(), (), "refused"


def cases() -> Iterator[Case]:
    """All of them."""
    for title, data, names in polyglots():
        yield Case(
            f"polyglot-{title}",
            "polyglot",
            file_of(data),
            names=names,
            alarm=True if names else None,
        )
    for title, suffix, data, names, outcome in disguises():
        alarm = True if names else None
        yield Case(
            f"disguise-{title}",
            "wrong extension",
            file_of(data, suffix),
            names=names,
            alarm=alarm,
            outcome=outcome,
        )
