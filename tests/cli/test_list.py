"""``ckptkit list``: every checkpoint once, whole or not, in the order asked for."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest
import torch


def rows(call, *words):
    result = call("list", "--json", *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["checkpoints"]


def by_name(found):
    return {os.path.basename(row["path"]): row for row in found}


def test_every_kind_is_one_row_with_what_it_is(call, zoo):
    found = by_name(rows(call, zoo))
    kinds = {name: (row["container"], row["dialect"], row["state"]) for name, row in found.items()}
    assert kinds["training.pt"] == ("torch-zip", "training-dict", "whole")
    assert kinds["legacy.pth"] == ("torch-legacy", "bare", "whole")
    assert kinds["weights.safetensors"] == ("safetensors", "bare", "whole")
    assert kinds["sealed"] == ("ckptkit-v2", None, "whole")
    assert found["training.pt"]["stored_epoch"] == 7
    assert found["training.pt"]["optimizer_steps"] == 16328
    assert found["sealed"]["optimizer_steps"] == 16328
    assert found["training.pt"]["nbytes"] == (zoo / "training.pt").stat().st_size


def test_a_bad_file_is_a_row_that_says_why(call, zoo):
    found = by_name(rows(call, zoo))
    assert (found["cut.pt"]["state"], found["cut.pt"]["error"]) == ("damaged", "TruncatedFile")
    assert (found["empty.pt"]["state"], found["empty.pt"]["error"]) == ("damaged", "EmptyFile")
    text = call("list", zoo).stdout
    assert re.search(r"empty\.pt +the file is empty", text)
    assert "2 not whole" in text


def test_the_files_inside_a_folder_checkpoint_are_not_listed_again(call, zoo):
    names = [row["path"] for row in rows(call, zoo)]
    assert not [name for name in names if "sealed/" in name]
    assert len(names) == len(set(names)) == len(os.listdir(zoo))


@pytest.fixture
def run(tmp_path, zoo):
    """A run folder as a training script leaves it."""
    for number, age in ((9, 30), (10, 20), (2, 10)):
        path = tmp_path / f"checkpoint_epoch_{number}.pt"
        torch.save({"epoch": number, "model": {"w": torch.zeros(number)}}, path)
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    (tmp_path / "config.json").write_text('{"lr": 1}')
    (tmp_path / "events.log").write_text("hello")
    (tmp_path / "._checkpoint_epoch_9.pt").write_bytes(b"\0\5\26\7")
    return tmp_path


def test_newest_first_and_the_other_orders(call, run):
    def names(*words):
        return [row["path"].rsplit("_", 1)[1] for row in rows(call, run, *words)]

    assert names() == ["2.pt", "10.pt", "9.pt"]
    assert names("--sort", "epoch") == ["10.pt", "9.pt", "2.pt"]
    assert names("--sort", "name") == ["2.pt", "9.pt", "10.pt"]
    assert names("--sort", "name", "--reverse") == ["10.pt", "9.pt", "2.pt"]


def test_temporary_files_are_passed_over_and_counted(call, run):
    assert "1 temporary file (._*)" in call("list", run).stdout
    assert not [row for row in rows(call, run) if "._" in row["path"]]


def test_a_config_beside_checkpoints_does_not_make_them_one(call, run):
    assert len(rows(call, run)) == 3


def test_subfolders_are_looked_into_as_deep_as_asked(call, run):
    deep = run / "a" / "b" / "c"
    deep.mkdir(parents=True)
    torch.save({"w": torch.zeros(1)}, deep / "deep.pt")
    assert "deep.pt" in by_name(rows(call, run))
    assert "deep.pt" not in by_name(rows(call, run, "--depth", 2))
    assert "1 folder (--depth)" in call("list", run, "--depth", 2).stdout


def test_an_unfinished_save_is_a_leftover(call, run, zoo):
    shutil.copytree(zoo / "sealed", run / "half")
    (run / "half" / "manifest.msgpack").unlink()
    found = by_name(rows(call, run))
    assert (found["half"]["state"], found["half"]["error"]) == ("damaged", "Unfinished")


def test_a_link_to_a_folder_is_not_followed(call, run):
    (run / "loop").symlink_to(run, target_is_directory=True)
    assert len(rows(call, run)) == 3


def test_a_single_file_can_be_listed(call, zoo):
    assert len(rows(call, zoo / "training.pt")) == 1


def test_files_that_are_no_checkpoints_are_not_rows(call, run):
    (run / "notes.bin.txt").write_text("x")
    (run / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert len(rows(call, run)) == 3


def test_a_pointer_under_the_name_of_a_checkpoint_is_told(call, run):
    (run / "lost.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12\n"
    )
    assert by_name(rows(call, run))["lost.safetensors"]["error"] == "LfsPointer"


def test_a_hugging_face_folder_is_one_row(call, tmp_path, zoo):
    folder = tmp_path / "runs" / "bert"
    folder.mkdir(parents=True)
    shutil.copy(zoo / "weights.safetensors", folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    found = rows(call, tmp_path)
    assert [(os.path.basename(row["path"]), row["container"]) for row in found] == [
        ("bert", "folder")
    ]


def test_no_permission_is_a_row(call, run, monkeypatch):
    secret = run / "secret"
    secret.mkdir()
    real = os.scandir

    def scandir(path="."):
        if str(path) == str(secret):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert by_name(rows(call, run))["secret"]["error"] == "AccessDenied"
