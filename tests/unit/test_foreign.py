"""Files that are no checkpoint are called by their names, each with its own way out."""

import gzip
import json

import pytest

from ckptkit.containers.foreign import foreign_error
from ckptkit.containers.probe import choose, make_probe
from ckptkit.errors import (
    ForeignFormatError,
    HtmlPageError,
    LfsPointerError,
    TruncatedFileError,
    UnknownFormatError,
)

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 1234567\n"
)
CASES = {
    "lfs": (POINTER, LfsPointerError, "1234567 bytes"),
    "html": (b"<!DOCTYPE html><html><title>404 Not Found</title>", HtmlPageError, "404 Not Found"),
    "html-late": (b"\xef\xbb\xbf \n<!-- x -->\n<HTML><body>", HtmlPageError, "web page"),
    "xml-error": (
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>',
        HtmlPageError,
        "web page",
    ),
    "gguf": (b"GGUF\x03\x00\x00\x00", ForeignFormatError, "GGUF"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(40), ForeignFormatError, "HDF5"),
    "hdf5-late": (bytes(511) + b"\x01" + b"\x89HDF\r\n\x1a\n"[1:], UnknownFormatError, ""),
    "hdf5-user-block": (b"hello" + bytes(507) + b"\x89HDF\r\n\x1a\n", ForeignFormatError, "HDF5"),
    "npy": (b"\x93NUMPY\x01\x00", ForeignFormatError, "NumPy"),
    "gzip": (gzip.compress(b"x"), ForeignFormatError, "gunzip"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", ForeignFormatError, "7-Zip"),
    "rar": (b"Rar!\x1a\x07\x01\x00", ForeignFormatError, "RAR"),
    "zstd": (b"\x28\xb5\x2f\xfd\x00", ForeignFormatError, "zstandard"),
    "tensorizer": (b"|TZR|" + bytes(20), ForeignFormatError, "tensorizer"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0", ForeignFormatError, "ONNX"),
    "json": (json.dumps({"a": 1}).encode(), ForeignFormatError, "JSON"),
    "index": (b'{"metadata": {}, "weight_map": {}}', ForeignFormatError, "folder"),
    "empty-zip": (b"PK\x05\x06" + bytes(18), ForeignFormatError, "empty zip"),
    "zeros": (bytes(5000), TruncatedFileError, "zero bytes"),
    "text": (b"epoch,loss\n1,0.5\n", UnknownFormatError, "plain text"),
    "noise": (b"\xde\xad\xbe\xef" * 9, UnknownFormatError, "de ad be ef"),
    "elf": (b"\x7fELF\x02", ForeignFormatError, "program"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_foreign_file_is_refused_by_name(tmp_path, name):
    data, kind, words = CASES[name]
    path = tmp_path / "model.pt"
    path.write_bytes(data)
    with pytest.raises(kind) as caught:
        choose(make_probe(path), [])
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_message_obeys_no_escape_of_the_file(tmp_path):
    path = tmp_path / "x"
    for data in (b"\x1b[2Jtext\n", b"<html><title>\x1b]0;owned\x07</title>", "a\u202eb\n".encode()):
        path.write_bytes(data)
        message = str(foreign_error(make_probe(path)))
        assert message.replace(str(path), "").isascii()
        assert message.isprintable()


def test_a_name_says_nothing(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(POINTER)
    assert isinstance(foreign_error(make_probe(path)), LfsPointerError)
