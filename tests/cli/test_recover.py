"""``ckptkit recover``: what is saved, what is said of the rest, and how it ends."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from ckptkit import errors
from ckptkit.cli.main import COMMANDS


def test_recover_is_a_command():
    assert "recover" in COMMANDS


def test_a_cut_file_ends_with_62_and_names_what_is_lost(call, zoo, tmp_path):
    done = call("recover", zoo / "cut.pt", tmp_path / "saved")
    assert done.exit_code == errors.LossFoundError.exit_code == 62
    assert "optimizer/state" in done.stdout
    assert "no record data/" in done.stdout
    assert (tmp_path / "saved" / "manifest.msgpack").exists()


def test_a_whole_file_ends_with_0_and_nothing_is_lost(call, zoo, tmp_path):
    done = call("recover", "--json", zoo / "training.pt", tmp_path / "saved")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["lost"] == printed["guessed"] == []
    assert printed["saved"]["tensors"] == 96
    assert call("inspect", tmp_path / "saved").stdout.count("recovered from") == 0


def test_the_json_names_every_lost_tensor_with_shape_dtype_and_reason(call, zoo, tmp_path):
    printed = json.loads(call("recover", "--json", zoo / "cut.pt", tmp_path / "saved").stdout)
    whole = json.loads(call("recover", "--json", zoo / "training.pt", tmp_path / "all").stdout)
    assert printed["saved"]["tensors"] + len(printed["lost"]) == whole["saved"]["tensors"]
    assert all(one["reason"] and one["dtype"] == "float32" for one in printed["lost"])


def test_a_dry_run_says_the_same_and_writes_nothing(call, zoo, tmp_path):
    dry = json.loads(
        call("recover", "--json", "--dry-run", zoo / "cut.pt", tmp_path / "saved").stdout
    )
    assert list(tmp_path.iterdir()) == []
    wet = json.loads(call("recover", "--json", zoo / "cut.pt", tmp_path / "saved").stdout)
    assert dry["lost"] == wet["lost"]
    assert dry["saved"] == wet["saved"]


@pytest.mark.parametrize("command", ["inspect", "verify", "list"])
def test_a_recovered_checkpoint_does_not_pass_for_a_whole_one(call, zoo, tmp_path, command):
    call("recover", zoo / "cut.pt", tmp_path / "saved")
    done = call(command, tmp_path / "saved")
    assert done.exit_code == 0
    assert "recovered from cut.pt, which was damaged" in " ".join(done.stdout.split())


def test_the_list_does_not_call_it_whole(call, zoo, tmp_path):
    call("recover", zoo / "cut.pt", tmp_path / "saved")
    (row,) = json.loads(call("list", "--json", tmp_path).stdout)["checkpoints"]
    assert row["state"] == "recovered"


def test_where_nothing_is_whole_there_is_no_target_and_an_error(call, zoo, tmp_path):
    data = (zoo / "training.pt").read_bytes()
    (tmp_path / "front.pt").write_bytes(data[:2000])
    done = call("recover", tmp_path / "front.pt", tmp_path / "saved")
    assert done.exit_code != 62
    assert done.exit_code != 0
    assert not (tmp_path / "saved").exists()


def test_a_target_that_exists_is_replaced_only_when_asked(call, zoo, tmp_path):
    assert call("recover", zoo / "training.pt", tmp_path / "saved").exit_code == 0
    assert call("recover", zoo / "cut.pt", tmp_path / "saved").exit_code == 42
    assert call("recover", "--replace", zoo / "cut.pt", tmp_path / "saved").exit_code == 62


def test_the_source_is_only_read(call, zoo, tmp_path):
    shutil.copy(zoo / "cut.pt", tmp_path / "cut.pt")
    before = (tmp_path / "cut.pt").read_bytes()
    call("recover", tmp_path / "cut.pt", tmp_path / "saved")
    assert (tmp_path / "cut.pt").read_bytes() == before


def test_hundreds_of_lost_tensors_do_not_flood_the_screen_unless_asked(call, tmp_path):
    state = {f"layer.{i}.weight": torch.full((64,), float(i)) for i in range(300)}
    torch.save(state, tmp_path / "a.pt")
    data = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: data.index(torch.full((64,), 3.0).numpy().tobytes())])
    short = call("recover", "--dry-run", tmp_path / "cut.pt", tmp_path / "saved").stdout
    every = call("recover", "--dry-run", "--every", tmp_path / "cut.pt", tmp_path / "saved").stdout
    assert len(short.splitlines()) < 60 < 297 < len(every.splitlines())
    assert "and 257 more" in short
