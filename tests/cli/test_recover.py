"""``ckptkit recover``: what is saved, what is said of the rest, and how it ends."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from ckptkit import errors
from ckptkit.cli.main import COMMANDS
from ckptkit.verbs.open import load


@pytest.fixture
def cut_in_optimizer(tmp_path):
    """A training dict of four parameters, cut inside the first moment of the third."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 64))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(3, 64)).sum().backward()
    optimizer.step()
    path = tmp_path / "given" / "whole.pt"
    path.parent.mkdir()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
    data = path.read_bytes()
    at = data.index(optimizer.state_dict()["state"][2]["exp_avg"].numpy().tobytes())
    (path.parent / "cut.pt").write_bytes(data[: at + 10])
    return path.parent / "cut.pt"


def test_recover_is_a_command():
    assert "recover" in COMMANDS


def test_a_cut_file_ends_with_62_and_names_what_is_lost(call, zoo, tmp_path):
    done = call("recover", zoo / "cut.pt", tmp_path / "saved")
    assert done.exit_code == errors.LossFoundError.exit_code == 62
    assert "optimizer/state" in done.stdout
    assert "its record data/" in done.stdout
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
    assert "layer.{4..299}.weight" in short
    assert " 296 " in short


def test_the_first_table_says_section_by_section_what_is_whole(call, cut_in_optimizer, tmp_path):
    done = call("recover", cut_in_optimizer, tmp_path / "saved").stdout
    rows = {line.split()[0]: line.split()[1:] for line in done.split("\n\n")[1].splitlines()}
    assert rows["model"] == ["whole", "4"]
    assert rows["optimizer"][:2] == ["in", "part"]
    assert rows["optimizer"][-2:] == ["of", "12"]
    assert len(done.splitlines()) < 25


def test_half_a_state_is_set_aside_and_named(call, cut_in_optimizer, tmp_path):
    done = json.loads(call("recover", "--json", cut_in_optimizer, tmp_path / "saved").stdout)
    assert done["half"] == [{"place": "optimizer/state/2", "tensors": 1}]
    with load(tmp_path / "saved") as checkpoint:
        state = checkpoint.document["optimizer"]["state"]
        assert list(state) == [0, 1]
        assert all(set(one) == {"step", "exp_avg", "exp_avg_sq"} for one in state.values())
        aside = checkpoint.document["extra"]["incomplete_state"]
        assert list(aside["optimizer"]["state"]) == [2]
        assert set(aside["optimizer"]["state"][2]) == {"step"}
    shown = call("recover", "--dry-run", cut_in_optimizer, tmp_path / "x").stdout
    assert "optimizer/state/2" in shown
    assert "extra/incomplete_state" in shown


def test_it_ends_with_what_can_be_done_next(call, cut_in_optimizer, zoo, tmp_path):
    done = call("recover", cut_in_optimizer, tmp_path / "saved").stdout
    assert "ckptkit check" in done
    assert "warm-start" in done
    weights = torch.load(cut_in_optimizer.with_name("whole.pt"))["model"]
    save_file(weights, tmp_path / "w.safetensors")
    data = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(data[:-8])
    part = call("recover", tmp_path / "w.safetensors", tmp_path / "part").stdout
    assert "weights are missing" in part
    assert "warm-start" not in part


@pytest.mark.parametrize("command", ["inspect", "verify", "diff", "migrate", "list"])
def test_who_meets_a_cut_file_is_told_of_recover(call, zoo, tmp_path, command):
    shutil.copy(zoo / "cut.pt", tmp_path / "cut.pt")
    words = {"diff": [zoo / "training.pt"], "migrate": ["--dry-run"]}.get(command, [])
    place = tmp_path if command == "list" else tmp_path / "cut.pt"
    done = call(command, place, *words)
    assert "ckptkit recover" in done.output


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_who_meets_a_stage_or_a_damaged_folder_is_told_of_recover(call, zoo, tmp_path, command):
    shutil.copytree(zoo / "sealed", tmp_path / "stage")
    (tmp_path / "stage" / "manifest.msgpack").unlink()
    assert "ckptkit recover" in call(command, tmp_path / "stage").output
    shutil.copytree(zoo / "sealed", tmp_path / "damaged")
    file = tmp_path / "damaged" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    assert "ckptkit recover" in call("verify", tmp_path / "damaged").output


def test_recover_itself_does_not_send_anybody_to_recover(call, tmp_path):
    (tmp_path / "noise.pt").write_bytes(b"PK\x03\x04" + bytes(2000))
    done = call("recover", tmp_path / "noise.pt", tmp_path / "saved")
    assert done.exit_code not in (0, 62)
    assert "ckptkit recover" not in done.output
