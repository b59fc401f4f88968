"""Frozen parameters have a file of their own, and it is shared with the parent while unchanged."""

import errno
import json
import os

import pytest
import torch
from safetensors.torch import load_file

import ckptkit
from ckptkit.testing.faults import failing_at, intercepted
from tests.unit.saved_values import names_in, restored, save_plain

FROZEN, TRAINABLE = "model-frozen.safetensors", "model-trainable.safetensors"


def half_frozen():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(30, 40), torch.nn.BatchNorm1d(40), torch.nn.Linear(40, 2)
    )
    model[0].requires_grad_(False)
    return model


def train(model):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(1)
        model[1].running_mean.add_(1)


def same_file(one, other):
    return one.stat().st_ino == other.stat().st_ino


def test_frozen_parameters_lie_apart_with_an_index_and_no_plain_file(tmp_path):
    save_plain(tmp_path / "c", {"model": half_frozen()})
    assert names_in(tmp_path / "c") == {
        FROZEN, TRAINABLE, "model.safetensors.index.json", "manifest.msgpack",
    }  # fmt: skip
    assert set(load_file(tmp_path / "c" / FROZEN)) == {"0.weight", "0.bias"}
    assert ckptkit.verify(tmp_path / "c").verdict == "verified"


def test_the_index_is_the_one_of_hugging_face(tmp_path):
    model = half_frozen()
    save_plain(tmp_path / "c", {"model": model})
    index = json.loads((tmp_path / "c" / "model.safetensors.index.json").read_text())
    assert set(index) == {"metadata", "weight_map"}
    assert set(index["weight_map"]) == set(model.state_dict())
    assert index["metadata"]["total_size"] == sum(
        t.numel() * t.element_size() for t in model.state_dict().values()
    )
    merged = {}
    for name in sorted(set(index["weight_map"].values())):
        merged |= load_file(tmp_path / "c" / name)
    half_frozen().load_state_dict(merged)


def test_such_a_checkpoint_loads_as_any_other(tmp_path):
    model = half_frozen()
    save_plain(tmp_path / "c", {"model": model})
    again = restored(tmp_path / "c")["model"]
    assert list(again) == list(model.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(again[name], value)
    assert again["0.weight"].requires_grad is False


def test_without_its_manifest_the_index_opens_it(tmp_path):
    model = half_frozen()
    save_plain(tmp_path / "c", {"model": model})
    (tmp_path / "c" / "manifest.msgpack").unlink()
    with ckptkit.load(tmp_path / "c") as checkpoint:
        assert len(list(checkpoint.tensors())) == len(model.state_dict())


def test_tied_names_stay_with_the_file_that_has_the_bytes(tmp_path):
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    model["a"].weight.requires_grad = False
    save_plain(tmp_path / "c", {"model": model})
    assert set(load_file(tmp_path / "c" / FROZEN)) == {"a.weight"}
    again = restored(tmp_path / "c")["model"]
    assert again["a.weight"] is again["b.weight"]


@pytest.mark.parametrize("trains", [True, False])
def test_a_model_of_one_kind_stays_one_file(tmp_path, trains):
    model = half_frozen()
    model.requires_grad_(trains)
    save_plain(tmp_path / "c", {"model": model})
    assert names_in(tmp_path / "c") == {"model.safetensors", "manifest.msgpack"}


def test_a_plain_mapping_of_parameters_is_not_parted(tmp_path):
    save_plain(tmp_path / "c", {"model": dict(half_frozen().named_parameters())})
    assert "model.safetensors" in names_in(tmp_path / "c")


def test_an_unchanged_file_is_linked_to_the_parents(tmp_path):
    model = half_frozen()
    first = ckptkit.save(tmp_path / "one", {"model": model})
    train(model)
    report = ckptkit.save(tmp_path / "two", {"model": model}, parent=tmp_path / "one")
    assert same_file(tmp_path / "one" / FROZEN, tmp_path / "two" / FROZEN)
    assert not same_file(tmp_path / "one" / TRAINABLE, tmp_path / "two" / TRAINABLE)
    assert [file.name for file in report.files if file.linked] == [FROZEN]
    assert report.linked_nbytes == (tmp_path / "two" / FROZEN).stat().st_size
    assert report.parent == first.digest
    assert "linked" in str(report)
    assert ckptkit.verify(tmp_path / "two").verdict == "verified"
    assert torch.equal(restored(tmp_path / "two")["model"]["1.running_mean"], model[1].running_mean)


def test_a_replaced_checkpoint_is_the_parent(tmp_path):
    model = half_frozen()
    save_plain(tmp_path / "c", {"model": model})
    inode = (tmp_path / "c" / FROZEN).stat().st_ino
    train(model)
    save_plain(tmp_path / "c", {"model": model})
    assert (tmp_path / "c" / FROZEN).stat().st_ino == inode
    assert ckptkit.verify(tmp_path / "c").verdict == "verified"


def test_a_wholly_frozen_model_is_linked_with_its_buffers(tmp_path):
    model = half_frozen().requires_grad_(False)
    save_plain(tmp_path / "one", {"vae": model})
    report = save_plain(tmp_path / "two", {"vae": model}, parent=tmp_path / "one")
    assert [file.linked for file in report.files] == [True]
    model[1].running_mean.add_(1)
    report = save_plain(tmp_path / "three", {"vae": model}, parent=tmp_path / "two")
    assert [file.linked for file in report.files] == [False]


def test_bytes_decide_and_not_names(tmp_path):
    model = half_frozen()
    save_plain(tmp_path / "one", {"model": model})
    with torch.no_grad():
        model[0].bias[-1] += 1e-7
    report = save_plain(tmp_path / "two", {"model": model}, parent=tmp_path / "one")
    assert report.linked_nbytes == 0
    assert torch.equal(restored(tmp_path / "two")["model"]["0.bias"], model[0].bias)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "link"])
def test_damage_of_the_parent_is_not_passed_on(tmp_path, damage):
    model = half_frozen()
    save_plain(tmp_path / "one", {"model": model})
    file = tmp_path / "one" / FROZEN
    data = file.read_bytes()
    file.unlink()
    if damage == "flip":
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "cut":
        file.write_bytes(data[:-1])
    elif damage == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        file.symlink_to(tmp_path / "elsewhere")
    report = save_plain(tmp_path / "two", {"model": model}, parent=tmp_path / "one")
    assert report.linked_nbytes == 0
    assert [notice.code for notice in report.notices] == ["parent-damaged"]
    assert ckptkit.verify(tmp_path / "two").verdict == "verified"


@pytest.mark.parametrize("what", ["missing", "empty folder", "broken manifest", "torch file"])
def test_a_parent_that_cannot_be_read_fails_no_save(tmp_path, what):
    parent = tmp_path / "one"
    if what == "empty folder":
        parent.mkdir()
    elif what == "broken manifest":
        parent.mkdir()
        (parent / "manifest.msgpack").write_bytes(b"\x92\xc6")
    elif what == "torch file":
        torch.save({}, parent)
    report = save_plain(tmp_path / "two", {"model": half_frozen()}, parent=parent)
    assert [notice.code for notice in report.notices] == ["parent-unreadable"]
    assert ckptkit.verify(tmp_path / "two").verdict == "verified"


@pytest.mark.parametrize("code", [errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EACCES])
def test_where_links_are_not_to_be_had_the_bytes_are_written(tmp_path, code):
    model = half_frozen()
    save_plain(tmp_path / "one", {"model": model})
    with intercepted(failing_at(1, code, ("link",))) as tape:
        report = save_plain(tmp_path / "two", {"model": model}, parent=tmp_path / "one")
    assert tape.names.count("link") == 1
    assert report.linked_nbytes == 0
    assert not same_file(tmp_path / "one" / FROZEN, tmp_path / "two" / FROZEN)
    assert ckptkit.verify(tmp_path / "two").verdict == "verified"


def test_a_file_that_changes_before_it_is_linked_is_written_anew(tmp_path):
    model = half_frozen()
    save_plain(tmp_path / "one", {"model": model})
    file = tmp_path / "one" / FROZEN

    def swap(call):
        if call.name == "link":
            data = file.read_bytes()
            file.rename(tmp_path / "old")
            file.write_bytes(data[:-1] + b"\0")

    with intercepted(swap):
        report = save_plain(tmp_path / "two", {"model": model}, parent=tmp_path / "one")
    assert report.linked_nbytes == 0
    assert ckptkit.verify(tmp_path / "two").verdict == "verified"


def test_a_linked_file_needs_no_space(tmp_path, monkeypatch):
    model = half_frozen()
    save_plain(tmp_path / "one", {"model": model})
    asked = []
    monkeypatch.setattr(
        "ckptkit.storage.atomic.require_free", lambda folder, nbytes: asked.append(nbytes)
    )
    save_plain(tmp_path / "two", {"model": model}, parent=tmp_path / "one")
    save_plain(tmp_path / "three", {"model": model})
    assert asked[1] - asked[0] == os.stat(tmp_path / "one" / FROZEN).st_size


def test_removing_the_parent_harms_no_child(tmp_path):
    model = half_frozen()
    save_plain(tmp_path / "one", {"model": model})
    save_plain(tmp_path / "two", {"model": model}, parent=tmp_path / "one")
    for file in (tmp_path / "one").iterdir():
        file.unlink()
    assert ckptkit.verify(tmp_path / "two").verdict == "verified"


def test_trust_in_the_parent_can_be_asked_for(tmp_path):
    model = half_frozen()
    save_plain(tmp_path / "one", {"model": model})
    file = tmp_path / "one" / FROZEN
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    report = save_plain(
        tmp_path / "two", {"model": model}, parent=tmp_path / "one", check_parent=False
    )
    assert report.linked_nbytes > 0


@pytest.mark.real_library
def test_from_pretrained_opens_a_half_frozen_checkpoint(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=2, n_head=2, n_embd=8, vocab_size=20, n_positions=8, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config)
    model.transformer.h[0].requires_grad_(False)
    save_plain(
        tmp_path / "c", {"model": model},
        side_files={"config.json": config.to_json_string().encode()},
    )  # fmt: skip
    again = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "c")
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
