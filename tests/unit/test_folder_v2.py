"""Our own folder as bytes: the manifest, the files by name, and nothing of an unfinished save."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ckptkit.containers.probe import make_probe
from ckptkit.containers.safetensors_header import dump_header
from ckptkit.containers.v2_folder import MAX_KEPT_OPEN, V2FolderContainer, tensor_source
from ckptkit.errors import (
    CkptkitError,
    CorruptFileError,
    LimitExceededError,
    TruncatedFileError,
    UnfinishedError,
)
from ckptkit.protocols import Opened
from ckptkit.types import DEFAULT_LIMITS, DTYPES, Limits, TensorSpec
from ckptkit.verbs.open import load

CONTAINER = V2FolderContainer()


def open_folder(folder: Path, limits: Limits = DEFAULT_LIMITS) -> Opened:
    probe = make_probe(folder)
    assert CONTAINER.matches(probe)
    return CONTAINER.open(probe, limits, lambda _: pytest.fail("nothing inside is opened"))


def make(folder: Path) -> Path:
    folder.mkdir()
    header, _ = dump_header([TensorSpec("w", DTYPES["uint8"], (4,))])
    (folder / "model.safetensors").write_bytes(header + b"abcd")
    (folder / "config.json").write_bytes(b"{}")
    (folder / "manifest.msgpack").write_bytes(b"manifest bytes")
    return folder


def test_manifest_and_files_and_a_span_of_one(tmp_path: Path) -> None:
    opened = open_folder(make(tmp_path / "c"))
    assert opened.root["manifest"] == b"manifest bytes"
    files = opened.root["files"]
    assert list(files) == ["config.json", "model.safetensors"]
    blob = files["model.safetensors"]
    out = bytearray(2)
    tensor_source(blob, blob.nbytes - 4, blob.nbytes).read_into(1, memoryview(out))
    assert out == b"bc"
    with pytest.raises(TruncatedFileError):
        tensor_source(blob, 0, blob.nbytes + 1)
    assert [(c.name, c.outcome) for c in opened.checks()] == [("model.safetensors", "unverifiable")]
    opened.close()


def test_opening_reads_no_data_file(tmp_path: Path) -> None:
    folder = make(tmp_path / "c")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    opened = open_folder(folder)
    after = len(os.listdir("/proc/self/fd")) if before else 0
    assert after == before
    (folder / "model.safetensors").unlink()  # it was not needed to open the folder
    opened.close()


def test_a_file_that_was_replaced_is_not_read_as_the_old_one(tmp_path: Path) -> None:
    folder = make(tmp_path / "c")
    opened = open_folder(folder)
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(CorruptFileError, match="when it was listed"):
        opened.root["files"]["model.safetensors"].source.read_into(0, memoryview(bytearray(1)))
    opened.close()


def test_only_the_name_of_a_stage_proves_a_save_that_died(tmp_path: Path) -> None:
    stage = make(tmp_path / ".run.stage-123-456-0123abcd-deadbeef")
    with pytest.raises(UnfinishedError):
        open_folder(stage)
    folder = make(tmp_path / "c")
    (folder / "manifest.msgpack").unlink()
    shutil.copy(folder / "model.safetensors", folder / "optimizer.safetensors")
    assert not CONTAINER.matches(make_probe(folder))
    with load(folder) as checkpoint:
        assert checkpoint.opened.container == "folder"
        assert "manifest-missing" in {notice.code for notice in checkpoint.notices}


def test_strangers_are_set_apart_and_a_manifest_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "c")
    with pytest.raises(LimitExceededError):
        open_folder(folder, Limits(max_manifest_nbytes=3))
    (folder / "extra.safetensors").symlink_to("/etc/passwd")
    (folder / "inside").symlink_to("config.json")
    (folder / "odd\nname").write_bytes(b"x")
    os.mkfifo(folder / "pipe")
    opened = open_folder(folder)
    refused = opened.properties["refused"]
    assert sorted(refused) == ["extra.safetensors", "inside", "pipe"]
    assert list(opened.root["files"]) == ["config.json", "model.safetensors", "odd\nname"]
    opened.close()


def test_a_folder_of_many_files_keeps_few_descriptors(tmp_path: Path) -> None:
    folder = make(tmp_path / "c")
    data = (folder / "model.safetensors").read_bytes()
    for number in range(MAX_KEPT_OPEN + 40):
        (folder / f"part-{number}.safetensors").write_bytes(data)
    opened = open_folder(folder)
    before = len(os.listdir("/dev/fd"))
    for blob in opened.root["files"].values():
        blob.source.read_into(0, memoryview(bytearray(1)))
    assert len(os.listdir("/dev/fd")) - before == MAX_KEPT_OPEN
    opened.close()


def test_a_manifest_that_is_a_folder_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "manifest.msgpack").mkdir()
    with pytest.raises(CkptkitError):
        open_folder(tmp_path)
