"""Folders of checkpoint files: every file is read as what it is, none is lost."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from ckptkit.containers.hf_folder import FolderContainer
from ckptkit.containers.probe import make_probe
from ckptkit.errors import (
    CkptkitError,
    CorruptFileError,
    LfsPointerError,
    LimitExceededError,
    NoCheckpointError,
    UnfinishedError,
)
from ckptkit.nodes import BlobNode
from ckptkit.types import DEFAULT_LIMITS
from ckptkit.verbs.open import load
from ckptkit.verbs.verify import verify
from tests.unit.folder_making import (
    blob_bytes,
    byte_of,
    open_folder,
    weights,
)

LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"
)


def test_a_trainer_checkpoint_file_by_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    weights(tmp_path / "model.safetensors", w=7)
    for name, value in {
        "optimizer.pt": {"state": {}, "param_groups": []},
        "scheduler.pt": {"last_epoch": 3},
        "rng_state.pth": {"cpu": torch.zeros(4, dtype=torch.uint8)},
    }.items():
        torch.save(value, tmp_path / name)
    (tmp_path / "trainer_state.json").write_text('{"global_step": 500, "loss": NaN}')
    (tmp_path / "config.json").write_text('{ "hidden_size" : 8 }\n')
    (tmp_path / "tokenizer.json").write_text('{"model": {}}')
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    opened = open_folder(tmp_path)
    root = opened.root
    assert byte_of(root["model.safetensors"]["w"]) == 7
    assert root["scheduler.pt"]["last_epoch"] == 3
    assert root["trainer_state.json"]["global_step"] == 500
    assert root["config.json"]["hidden_size"] == 8
    assert isinstance(root["tokenizer.json"], BlobNode)
    assert blob_bytes(root["vocab.txt"]) == b"a\nb\n"
    side = opened.properties["side_files"]
    assert sorted(side) == ["config.json", "tokenizer.json", "trainer_state.json", "vocab.txt"]
    assert blob_bytes(side["config.json"]) == b'{ "hidden_size" : 8 }\n'
    assert {check.outcome for check in opened.checks()} == {"ok", "unverifiable"}
    assert opened.nbytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    opened.close()


def test_every_file_is_chosen_by_content(tmp_path: Path) -> None:
    (tmp_path / "trainer_state.json").write_text("{}")
    weights(tmp_path / "sub" / "looks-like.pt", w=9)
    (tmp_path / "sub" / "state").write_bytes(pickle.dumps({"epoch": 4}))
    (tmp_path / "notes").write_text("just words")
    opened = open_folder(tmp_path)
    assert byte_of(opened.root["sub/looks-like.pt"]["w"]) == 9
    assert opened.root["sub/state"]["epoch"] == 4
    assert isinstance(opened.root["notes"], BlobNode)
    opened.close()


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("optimizer.pt", b"", CkptkitError),
        ("optimizer.pt", b"PK\x03\x04torn", CkptkitError),
        ("model.safetensors", LFS_POINTER, LfsPointerError),
        ("pytorch_model.bin", b"<!DOCTYPE html><html></html>", CkptkitError),
        ("trainer_state.json", b'{"a": 1, "a": 2}', CorruptFileError),
        ("trainer_state.json", b'{"torn": ', CorruptFileError),
    ],
)
def test_an_unreadable_checkpoint_file_is_named(
    tmp_path: Path, name: str, data: bytes, error: type[CkptkitError]
) -> None:
    weights(
        tmp_path / ("ema.safetensors" if name.startswith("model") else "model.safetensors"), w=1
    )
    (tmp_path / name).write_bytes(data)
    with pytest.raises(error) as caught:
        open_folder(tmp_path)
    assert name in str(caught.value)


def test_settings_that_are_no_json_are_carried_and_noticed(tmp_path: Path) -> None:
    weights(tmp_path / "model.safetensors", w=1)
    (tmp_path / "config.json").write_bytes(b"[" * 100_000)
    opened = open_folder(tmp_path)
    assert isinstance(opened.root["config.json"], BlobNode)
    assert [notice.code for notice in opened.notices] == ["json-not-read"]
    opened.close()


@pytest.mark.parametrize(
    "files",
    [
        ["model.safetensors", "checkpoint-is-incomplete.txt"],
        ["model.safetensors", "optimizer.pt.tmp"],
        ["model.safetensors", "optimizer.bin.incomplete"],
        ["model.safetensors", "epoch=3.ckpt-unfinished"],
        ["model.safetensors", "scheduler.pt", "rng_state.pth"],
    ],
)
def test_half_written_folders_are_refused_with_advice(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        weights(tmp_path / name, w=1)
    with pytest.raises(UnfinishedError) as caught:
        load(tmp_path)
    assert caught.value.advice
    assert "damaged" in {check.outcome for check in verify(tmp_path).checks}


@pytest.mark.parametrize("name", ["tmp-checkpoint-500", "checkpoint-500.tmp", "c.incomplete"])
def test_the_stage_of_another_tool_is_refused(tmp_path: Path, name: str) -> None:
    weights(tmp_path / name / "model.safetensors", w=1)
    with pytest.raises(UnfinishedError):
        load(tmp_path / name)


def test_more_files_than_descriptors_is_said_before_they_run_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    for index in range(80):
        weights(tmp_path / f"model_{index}.safetensors", w=1)
    weights(tmp_path / "model.safetensors", w=1)
    open_folder(tmp_path).close()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (140, 4096))
    with pytest.raises(LimitExceededError, match="ulimit"):
        open_folder(tmp_path)


def test_checkpoints_inside_a_run_folder_are_named_not_mixed(tmp_path: Path) -> None:
    for step in (500, 1000):
        weights(tmp_path / f"checkpoint-{step}" / "model.safetensors", w=1)
    with pytest.raises(NoCheckpointError, match="checkpoint-1000"):
        open_folder(tmp_path)
    weights(tmp_path / "model.safetensors", w=2)
    opened = open_folder(tmp_path)
    assert list(opened.root) == ["model.safetensors"]
    assert opened.properties["nested"].items == ["checkpoint-1000", "checkpoint-500"]
    opened.close()


@pytest.mark.parametrize("files", [[], ["config.json"], ["a.txt", "b.png"]])
def test_a_folder_without_checkpoints_says_so(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(NoCheckpointError):
        open_folder(tmp_path)


def test_a_distributed_part_stands_under_its_folder(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from tests.unit.dcp_making import FolderMaker

    maker = FolderMaker(tmp_path / "pytorch_model_fsdp_0")
    maker.add_tensor("w", torch.ones(2), [((0,), (2,))], ("model", "w"))
    maker.write()
    (tmp_path / "trainer_state.json").write_text("{}")
    opened = open_folder(tmp_path)
    assert opened.root["pytorch_model_fsdp_0"]["model"]["w"].shape == (2,)
    scans = [s.stream for s in FolderContainer().scan(make_probe(tmp_path), DEFAULT_LIMITS)]
    assert any(stream.startswith("pytorch_model_fsdp_0/.metadata") for stream in scans)
    assert any(stream.startswith("pytorch_model_fsdp_0/__1_0.distcp") for stream in scans)
    opened.close()


def test_scanning_finds_payloads_under_any_name(tmp_path: Path) -> None:
    weights(tmp_path / "model.safetensors", w=1)
    (tmp_path / "README.md").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "training_args.bin").write_bytes(
        b"\x80\x02cos\nsystem\nU\x04trueq\x00\x85R."
    )
    scans = list(FolderContainer().scan(make_probe(tmp_path), DEFAULT_LIMITS))
    found = {
        scan.stream.split(":")[0] for scan in scans for use in scan.uses if use.how == "called"
    }
    assert found == {"README.md", "sub/training_args.bin"}
