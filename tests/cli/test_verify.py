"""``ckptkit verify``: damage is found and named, by whatever a file can be checked by."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile

import pytest
import torch

import ckptkit


def as_json(call, *words):
    return json.loads(call("verify", "--json", *words).stdout)


def one(call, path):
    return as_json(call, path)["paths"][0]


@pytest.fixture
def sealed(zoo, tmp_path):
    return shutil.copytree(zoo / "sealed", tmp_path / "sealed")


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_whole_checkpoints_verify(call, zoo):
    result = call("verify", zoo / "training.pt", zoo / "sealed")
    assert result.exit_code == 0
    assert result.stdout.count("verified") == 2
    assert (
        one(call, zoo / "sealed")["methods"]["xxh3-128"] == 96 + 2 + 1
    )  # tensors, headers, manifest


def test_the_damaged_tensor_of_a_sealed_folder_is_named(call, sealed):
    path = sealed / "optimizer.safetensors"
    flip(path, path.stat().st_size - 1)
    result = call("verify", sealed)
    assert result.exit_code == 61
    found = one(call, sealed)
    assert found["verdict"] == "damaged"
    assert found["counts"]["damaged"] == 1
    finding = found["findings"][0]
    assert finding["name"].startswith("optimizer.safetensors: ")
    assert finding["name"].split(": ")[1] in path.read_bytes().decode("latin-1")
    assert finding["name"] in result.stdout


def test_every_flipped_byte_of_a_small_sealed_folder_is_found(call, tmp_path):
    from ckptkit.verbs.migrate import migrate
    from ckptkit.verbs.verify import verify

    tied = torch.arange(3.0)
    torch.save({"model": {"a": tied, "b": tied}, "epoch": 3}, tmp_path / "small.pt")
    folder = migrate(tmp_path / "small.pt", tmp_path / "small").target
    missed = []
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for at in range(len(whole)):
            flip(path, at)
            if verify(folder).verdict != "damaged":
                missed.append((path.name, at, whole[at : at + 1]))
            path.write_bytes(whole)
    assert missed == []


def test_a_flipped_byte_that_torch_load_would_not_notice_is_found(call, zoo, tmp_path):
    path = shutil.copy(zoo / "training.pt", tmp_path / "flipped.pt")
    weight = next(iter(torch.load(path, weights_only=True)["model_state_dict"].values()))
    first = struct.pack("<f", weight.flatten()[0].item())
    flip(path, path.read_bytes().index(first))
    torch.load(path, weights_only=True)  # no complaint
    found = one(call, path)
    assert found["verdict"] == "damaged"
    assert "data/" in found["findings"][0]["name"]
    assert found["findings"][0]["by"] == "crc32"


def test_checksums_that_nobody_computed_are_said_to_be_unusable(call, tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.arange(100.0)}, tmp_path / "nocrc.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    found = one(call, tmp_path / "nocrc.pt")
    assert found["verdict"] in ("unverifiable", "partly")
    told = json.dumps(found["findings"]) + json.dumps(found["notices"])
    assert "CRC" in told


def test_where_there_is_nothing_to_check_by_it_is_said(call, zoo):
    result = call("verify", zoo / "weights.safetensors")
    assert result.exit_code == 0
    assert "read whole" in result.stdout
    assert "no checksums" in result.stdout
    assert "0 B" not in result.stdout


def test_damaged_structure_is_damage(call, zoo):
    result = call("verify", zoo / "cut.pt")
    assert result.exit_code == 61
    assert "no end record" in result.stdout


def test_a_missing_and_an_added_file_of_a_sealed_folder(call, sealed):
    (sealed / "added.txt").write_text("hello")
    found = one(call, sealed)
    assert found["verdict"] == "verified"
    assert found["checked_nbytes"] == found["nbytes"]
    assert "added.txt" in found["notices"][0]["message"]
    (sealed / "model.safetensors").unlink()
    found = one(call, sealed)
    assert found["verdict"] == "damaged"
    missing = {finding["name"]: finding["nbytes"] for finding in found["findings"]}
    assert missing["model.safetensors"] == 0
    assert found["checked_nbytes"] <= found["nbytes"]


def test_strangers_beside_sealed_files_are_no_damage(call, sealed):
    os.mkfifo(sealed / "pipe")
    (sealed / "link").symlink_to("/etc/hostname")
    (sealed / "odd\nname").write_text("x")
    (sealed / "sub").mkdir()
    (sealed / "sub" / "more.pt").write_bytes(b"junk")
    found = one(call, sealed)
    assert found["verdict"] == "verified"
    assert [notice["code"] for notice in found["notices"]] == ["unsealed-files"]
    assert call("inspect", sealed).exit_code == 0
    (sealed / "model.safetensors").rename(sealed / "elsewhere")
    (sealed / "model.safetensors").symlink_to("elsewhere")
    assert one(call, sealed)["verdict"] == "damaged"
    assert call("inspect", sealed).exit_code == 26


def test_what_a_dead_save_left_does_not_hide_the_rest(call, zoo, tmp_path):
    shutil.copy(zoo / "weights.safetensors", tmp_path / "model.safetensors")
    shutil.copy(zoo / "training.pt", tmp_path / "optimizer.pt")
    (tmp_path / "optimizer.pt.tmp").write_bytes(b"PK")
    found = one(call, tmp_path)
    assert found["verdict"] == "partly"
    assert found["counts"]["ok"] > 90
    assert "optimizer.pt.tmp" in {finding["name"] for finding in found["findings"]}
    (tmp_path / "optimizer.pt").rename(tmp_path / "optimizer.pt.tmp")
    found = one(call, tmp_path)  # now the only copy of the optimizer is half-written
    assert found["verdict"] == "damaged"
    assert found["counts"]["unverifiable"] >= 1
    assert call("inspect", tmp_path).exit_code == 27


def test_more_is_never_checked_than_there_is(call, tmp_path):
    torch.save({"w": torch.zeros(10_000)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as old,
        zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    found = one(call, tmp_path / "small.pt")
    assert found["checked_nbytes"] <= found["nbytes"]


def test_a_sound_zip_of_something_else_is_not_damaged(call, tmp_path):
    with zipfile.ZipFile(tmp_path / "zip.zip", "w") as out:
        out.writestr("letter.txt", "hello")
    result = call("verify", tmp_path / "zip.zip")
    assert result.exit_code == 9
    assert "damaged" not in result.output


def test_a_short_file_names_the_tensors_that_are_gone(call, sealed):
    path = sealed / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    names = [finding["name"] for finding in one(call, sealed)["findings"]]
    assert "model.safetensors" in names
    assert any(name.startswith("model.safetensors: 11.") for name in names)


def test_a_damaged_manifest_is_damage(call, sealed):
    flip(sealed / "manifest.msgpack", 40)
    assert call("verify", sealed).exit_code == 61


def test_several_paths_are_all_looked_at(call, zoo, tmp_path):
    result = call("verify", zoo / "empty.pt", zoo / "sealed", zoo / "cut.pt")
    assert result.exit_code == 61
    assert "verified" in result.stdout
    assert "the file is empty" in result.stdout
    found = as_json(call, zoo / "empty.pt", zoo / "sealed", zoo / "cut.pt")
    assert [row["verdict"] for row in found["paths"]] == ["error", "verified", "damaged"]
    assert call("verify", zoo / "empty.pt", zoo / "sealed").exit_code == 5


def test_all_names_what_is_in_order(call, zoo):
    assert "model.safetensors: 0.weight" in call("verify", "--all", zoo / "sealed").stdout
    assert "model.safetensors: 0.weight" not in call("verify", zoo / "sealed").stdout


def test_a_folder_that_lost_its_manifest_is_damaged(call, sealed):
    (sealed / "manifest.msgpack").unlink()
    result = call("verify", sealed)
    assert result.exit_code == 61
    assert "seems to have lost its manifest.msgpack" in result.stdout
    assert "recover" in result.stdout


def test_so_is_one_that_is_only_a_model_in_two_halves(call, tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[0].requires_grad_(False)
    ckptkit.save(tmp_path / "c", {"model": model})
    (tmp_path / "c" / "manifest.msgpack").unlink()
    assert one(call, tmp_path / "c")["verdict"] == "damaged"


def test_weights_alone_are_nobodys_lost_checkpoint(call, zoo, tmp_path):
    shutil.copy(zoo / "weights.safetensors", tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    assert one(call, tmp_path)["verdict"] == "unverifiable"
