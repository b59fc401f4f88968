"""Bad input of every kind has a message and an exit code of its own, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile

import msgpack
import pytest
import xxhash

from ckptkit import errors
from ckptkit.cli.failures import error_json, explain

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "ab" * 32 + "\nsize 123456\n"


def make(kind, folder, zoo):
    """Write one bad input and return its path."""
    path = folder / "model.pt"
    whole = (zoo / "training.pt").read_bytes()
    safe = (zoo / "weights.safetensors").read_bytes()
    plain = {
        "empty": b"",
        "lfs": LFS.encode(),
        "html": b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>",
        "truncated zip": whole[: len(whole) // 2],
        "truncated safetensors": safe[:-100],
        "cut header": safe[:50],
        "garbage": bytes(range(7, 200)) * 3,
        "cut pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a",
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(600),
        "gguf": b"GGUF\x03\0\0\0" + bytes(600),
        "gzip": b"\x1f\x8b\x08\0" + bytes(600),
        "json": b'{"a": [1, 2, 3]}',
    }
    if kind in plain:
        path.write_bytes(plain[kind])
    elif kind == "missing":
        return folder / "nowhere.pt"
    elif kind == "npz":
        with zipfile.ZipFile(path, "w") as out:
            out.writestr("arr_0.npy", b"\x93NUMPY\x01\x00" + bytes(100))
    elif kind == "folder without checkpoints":
        (folder / "readme.txt").write_text("nothing here")
        return folder
    elif kind == "unfinished":
        name = f".half.stage-1-2-{'0' * 24}-deadbeef"
        shutil.copytree(zoo / "sealed", folder / name)
        return folder / name
    elif kind == "newer schema":
        return newer(shutil.copytree(zoo / "sealed", folder / "newer"))
    return path


def newer(folder):
    """Raise the schema version in a manifest and give it a true digest again."""
    path = folder / "manifest.msgpack"
    body, _ = msgpack.unpackb(path.read_bytes(), strict_map_key=False)
    fields = msgpack.unpackb(body, strict_map_key=False)
    fields["schema"] = 99
    body = msgpack.packb(fields)
    head = b"\x92\xc6" + len(body).to_bytes(4, "big")
    path.write_bytes(head + body + b"\xc4\x10" + xxhash.xxh3_128_digest(body))
    return folder


BAD = {
    "missing": errors.NotFoundError,
    "empty": errors.EmptyFileError,
    "lfs": errors.LfsPointerError,
    "html": errors.HtmlPageError,
    "truncated zip": errors.TruncatedFileError,
    "truncated safetensors": errors.TruncatedFileError,
    "cut header": errors.TruncatedFileError,
    "garbage": errors.UnknownFormatError,
    "hdf5": errors.ForeignFormatError,
    "gguf": errors.ForeignFormatError,
    "gzip": errors.ForeignFormatError,
    "npz": errors.ForeignFormatError,
    "json": errors.ForeignFormatError,
    "folder without checkpoints": errors.NoCheckpointError,
    "unfinished": errors.UnfinishedError,
    "newer schema": errors.NewerSchemaError,
}


@pytest.mark.parametrize("kind", BAD)
def test_each_kind_has_its_message_and_code(call, zoo, tmp_path, kind):
    path = make(kind, tmp_path, zoo)
    result = call("inspect", path)
    assert result.exit_code == BAD[kind].exit_code, result.output
    assert result.stdout == ""
    paragraph = result.stderr
    assert paragraph.startswith("error: ")
    assert paragraph.count("\n") == 1
    assert path.name in paragraph
    assert len(paragraph) > len(str(path)) + 30  # it says more than where


@pytest.mark.parametrize("kind", BAD)
def test_json_has_the_same_on_stdout(call, zoo, tmp_path, kind):
    result = call("inspect", "--json", make(kind, tmp_path, zoo))
    error = json.loads(result.stdout)["error"]
    assert error["kind"] == BAD[kind].__name__.removesuffix("Error")
    assert error["exit_code"] == result.exit_code == BAD[kind].exit_code
    assert error["seen"]
    assert error["where"]
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize("kind", BAD)
def test_a_migration_of_it_leaves_nothing_behind(call, zoo, tmp_path, kind):
    source = tmp_path / "in"
    source.mkdir()
    path = make(kind, source, zoo)
    before = sorted(os.walk(tmp_path))
    result = call("migrate", path, tmp_path / "out")
    assert result.exit_code == BAD[kind].exit_code, result.output
    assert sorted(os.walk(tmp_path)) == before


@pytest.mark.parametrize("kind", ["empty", "lfs", "html", "garbage", "missing", "hdf5"])
@pytest.mark.parametrize("command", ["scan", "verify"])
def test_the_other_commands_say_the_same(call, zoo, tmp_path, kind, command):
    assert call(command, make(kind, tmp_path, zoo)).exit_code == BAD[kind].exit_code


@pytest.mark.parametrize("command", ["list", "migrate --recursive"])
def test_a_folder_without_checkpoints_is_said_to_be_one(call, zoo, tmp_path, command):
    make("folder without checkpoints", tmp_path, zoo)
    result = call(*command.split(), tmp_path)
    assert result.exit_code == errors.NoCheckpointError.exit_code
    assert call(*command.split(), tmp_path / "nowhere").exit_code == 3


def test_a_pickle_that_ends_early_is_a_broken_stream(call, zoo, tmp_path):
    result = call("inspect", make("cut pickle", tmp_path, zoo))
    assert result.exit_code in (
        errors.PickleStreamError.exit_code,
        errors.TruncatedFileError.exit_code,
    )


def test_a_newer_schema_names_both_versions(call, zoo, tmp_path):
    text = call("inspect", make("newer schema", tmp_path, zoo)).stderr
    assert "99" in text
    assert "2" in text


def test_no_permission_to_read(call, zoo, monkeypatch):
    """Root may read everything, so the refusal is made at the system call."""
    real = os.open

    def refuse(path, *rest, **named):
        if str(path).endswith("training.pt"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    result = call("inspect", zoo / "training.pt")
    assert result.exit_code == errors.AccessDeniedError.exit_code
    assert "training.pt" in result.stderr


@pytest.mark.parametrize("command", ["inspect", "scan", "verify", "migrate"])
def test_a_path_that_may_not_be_read_is_told_by_our_error(call, zoo, monkeypatch, command):
    """Click would ask ``os.access`` first and call it a usage error."""
    real = os.open

    def refuse(path, *rest, **named):
        if str(path).endswith("training.pt"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "access", lambda path, *_, **__: not str(path).endswith("training.pt"))
    result = call(command, zoo / "training.pt")
    assert result.exit_code == errors.AccessDeniedError.exit_code, result.output


@pytest.mark.parametrize("command", ["inspect", "list", "scan", "verify", "migrate"])
def test_an_empty_path_is_a_usage_error(call, command):
    assert call(command, "").exit_code == 2
    assert "empty path" in call(command, "").stderr


def test_an_endless_message_is_cut_to_a_paragraph():
    error = errors.CorruptFileError("w" * 10**6, "s\x1b" * 10**6, "e" * 10**5, "a" * 10**5)
    told = explain(error).paragraph
    assert 2000 < len(told) < 5000
    assert told.isprintable()
    assert all(len(str(value)) < 10_000 for value in error_json(error).values())


def test_a_full_disk_behind_stdout_is_not_the_whole_machine(zoo):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    command = [sys.executable, "-m", "ckptkit.cli.main", "inspect", zoo / "training.pt"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 40
    assert done.stderr.startswith("error: stdout: no space left")


def test_a_full_disk(call, zoo, tmp_path, monkeypatch):
    from ckptkit.storage import freespace

    for name in ("free_nbytes",):
        monkeypatch.setattr(freespace, name, lambda *_: 1000)
        monkeypatch.setattr(f"ckptkit.storage.atomic.{name}", lambda *_: 1000)
    result = call("migrate", zoo / "training.pt", tmp_path / "out")
    assert result.exit_code == errors.DiskFullError.exit_code
    assert list(tmp_path.iterdir()) == []
    assert "free" in result.stderr


def test_no_right_to_write(call, zoo, tmp_path, monkeypatch):
    real = os.mkdir

    def refuse(path, *rest, **named):
        if str(path).startswith(str(tmp_path)):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "mkdir", refuse)
    result = call("migrate", zoo / "training.pt", tmp_path / "out")
    assert result.exit_code == errors.AccessDeniedError.exit_code
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_pickle_is_opened_as_data(call, tmp_path):
    path = tmp_path / "odd.pkl"
    path.write_bytes(b"\x80\x02cmy_project.models\nNet\n)\x81}X\x01\x00\x00\x00aK\x05sb.")
    result = call("inspect", path)
    assert result.exit_code == 0, result.stderr
    assert "my_project.models.Net" in result.stdout
