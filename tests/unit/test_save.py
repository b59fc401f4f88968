"""ckptkit.save: live state to a sealed folder, its report, its names, what it replaces."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

import ckptkit
from ckptkit.errors import (
    DiskFullError,
    NotFoundError,
    TargetExistsError,
    UnrepresentableError,
    UnsafePathError,
    WriteFailedError,
)
from ckptkit.schema import parse_manifest
from tests.unit.saved_values import names_in, restored, save_plain


def a_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2)
    )


def trained(model):
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    return optimizer


def test_what_was_saved_loads_and_verifies(tmp_path):
    model = a_model()
    optimizer = trained(model)
    report = ckptkit.save(
        tmp_path / "c", {"model": model, "optimizer": optimizer, "progress": {"epoch": 3}}
    )
    assert ckptkit.verify(tmp_path / "c").verdict == "verified"
    again = restored(tmp_path / "c")
    assert again["progress"] == {"epoch": 3}
    assert list(again["model"]) == list(model.state_dict())
    assert report.sections == ("model", "optimizer", "progress", "provenance")
    assert report.written_nbytes == sum(f.stat().st_size for f in (tmp_path / "c").iterdir())


def test_the_official_library_feeds_load_state_dict(tmp_path):
    model, other = a_model(), a_model()
    trained(model)
    save_plain(tmp_path / "c", {"model": model})
    other.load_state_dict(load_file(tmp_path / "c" / "model.safetensors"))
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_the_versions_of_modules_are_kept(tmp_path):
    model = a_model()
    save_plain(tmp_path / "c", {"model": model})
    assert restored(tmp_path / "c")["model"]._metadata == model.state_dict()._metadata


def test_parameters_and_whether_they_train_are_recorded(tmp_path):
    model = a_model()
    save_plain(tmp_path / "c", {"model": model})
    with ckptkit.load(tmp_path / "c") as checkpoint:
        section = checkpoint.document["model"]
        assert section["0.weight"].flavour == "parameter"
        assert section["0.weight"].requires_grad is True
        assert section["1.running_mean"].flavour == "tensor"


def test_stateful_objects_lie_at_any_depth_of_mappings(tmp_path):
    models = {"g": a_model(), "deep": {"d": a_model()}}
    optimizer = trained(models["deep"]["d"])
    plain = {"lr": 0.1}
    save_plain(tmp_path / "c", {"models": models, "optimizer": {"d": optimizer}, "plain": plain})
    again = restored(tmp_path / "c")
    assert torch.equal(again["models"]["deep"]["d"]["0.bias"], models["deep"]["d"][0].bias)
    assert again["optimizer"]["d"]["parameters"]["sections"][0] == "models/deep/d"
    assert isinstance(models["g"], torch.nn.Module)  # the caller's mapping is as it was


def test_an_object_in_two_places_is_saved_at_both(tmp_path):
    shared = {"m": torch.nn.Linear(2, 2)}
    save_plain(tmp_path / "c", {"a": shared, "b": shared})
    again = restored(tmp_path / "c")
    assert torch.equal(again["a"]["m"]["weight"], again["b"]["m"]["weight"])
    assert names_in(tmp_path / "c") == {"a.safetensors", "manifest.msgpack"}  # bytes once


def test_a_mapping_inside_itself_is_saved(tmp_path):
    knot = {"x": 1}
    knot["self"] = knot
    save_plain(tmp_path / "c", {"extra": knot})
    again = restored(tmp_path / "c")["extra"]
    assert again["self"] is again


@pytest.mark.parametrize("value", [lambda: 0, object(), sys, (i for i in ()), torch.Generator()])
def test_what_is_no_data_is_refused_with_its_place(tmp_path, value):
    with pytest.raises(UnrepresentableError) as caught:
        save_plain(tmp_path / "c", {"extra": {"deep": [1, value]}})
    assert caught.value.where == "extra/deep/1"
    assert list(tmp_path.iterdir()) == []


# -- what may be replaced -----------------------------------------------------------------------


def test_an_older_checkpoint_is_replaced(tmp_path):
    save_plain(tmp_path / "c", {"extra": 1})
    save_plain(tmp_path / "c", {"extra": 2})
    assert restored(tmp_path / "c")["extra"] == 2
    assert names_in(tmp_path) == {"c"}


def test_nothing_is_replaced_that_was_not_asked_for(tmp_path):
    save_plain(tmp_path / "c", {"extra": 1})
    with pytest.raises(TargetExistsError):
        save_plain(tmp_path / "c", {"extra": 2}, replace=False)
    assert restored(tmp_path / "c")["extra"] == 1


@pytest.mark.parametrize("what", ["file", "folder", "link", "stranger"])
def test_only_a_checkpoint_is_ever_replaced(tmp_path, what):
    target = tmp_path / "c"
    if what == "file":
        target.write_text("precious")
    elif what == "folder":
        target.mkdir()
        (target / "notes.txt").write_text("precious")
    elif what == "link":
        target.symlink_to(tmp_path)
    else:
        save_plain(target, {"extra": 1})
        (target / "notes.txt").write_text("precious")
    with pytest.raises(TargetExistsError):
        save_plain(target, {"extra": 2})


def test_nothing_is_saved_inside_a_checkpoint(tmp_path):
    save_plain(tmp_path / "c", {"extra": 1})
    with pytest.raises(WriteFailedError, match="inside the sealed"):
        save_plain(tmp_path / "c" / "d", {"extra": 2})


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(NotFoundError):
        save_plain(tmp_path / "no" / "c", {"extra": 1})


def test_the_free_space_is_looked_at_first(tmp_path, monkeypatch):
    save_plain(tmp_path / "c", {"extra": 1})
    monkeypatch.setattr("ckptkit.storage.freespace.free_nbytes", lambda folder: 1000)
    with pytest.raises(DiskFullError, match="1,000 bytes are free"):
        save_plain(tmp_path / "c", {"model": {"w": torch.zeros(5000)}})
    assert restored(tmp_path / "c")["extra"] == 1


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a/b", "..", "a:b", "a\n", "x" * 300, "a "])
def test_a_section_needs_the_name_of_a_file(tmp_path, name):
    with pytest.raises(UnsafePathError):
        save_plain(tmp_path / "c", {name: {"w": torch.zeros(1)}})


def test_sections_differ_where_case_does_not_count(tmp_path):
    with pytest.raises(UnsafePathError, match="case"):
        save_plain(tmp_path / "c", {"Model": 1, "model": 2})


@pytest.mark.parametrize("state", [[("model", 1)], {1: 2}, None])
def test_a_state_is_a_mapping_of_names(tmp_path, state):
    with pytest.raises(UnrepresentableError):
        save_plain(tmp_path / "c", state)


def test_a_section_cannot_take_the_name_of_a_frozen_file(tmp_path):
    model = a_model()
    model[0].requires_grad_(False)
    with pytest.raises(UnsafePathError, match="two files"):
        save_plain(tmp_path / "c", {"model": model, "model-frozen": {"w": torch.zeros(1)}})


# -- side files ---------------------------------------------------------------------------------


def test_side_files_are_stored_byte_for_byte(tmp_path):
    (tmp_path / "tokens.txt").write_bytes(b"\0\1\2")
    report = save_plain(
        tmp_path / "c", {"extra": 1},
        side_files={"config.json": b"{}", "tokenizer/tokens.txt": tmp_path / "tokens.txt"},
    )  # fmt: skip
    assert (tmp_path / "c" / "config.json").read_bytes() == b"{}"
    assert (tmp_path / "c" / "tokenizer" / "tokens.txt").read_bytes() == b"\0\1\2"
    assert {file.name for file in report.files} == {"config.json", "tokenizer/tokens.txt"}
    assert ckptkit.verify(tmp_path / "c").verdict == "verified"


@pytest.mark.parametrize("name", ["model.safetensors", "manifest.msgpack", "../up", "/abs"])
def test_a_side_file_takes_no_name_that_is_ours(tmp_path, name):
    with pytest.raises(UnsafePathError):
        save_plain(tmp_path / "c", {"model": a_model()}, side_files={name: b"x"})


def test_a_side_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(NotFoundError):
        save_plain(tmp_path / "c", {"extra": 1}, side_files={"a.json": tmp_path / "a.json"})


# -- versions and the report --------------------------------------------------------------------


def test_versions_and_trainer_are_in_the_manifest(tmp_path):
    state = {"model": a_model(), "extra": 1}
    ckptkit.save(tmp_path / "c", state, trainer="diffusion", versions={"model": 3})
    manifest = parse_manifest((tmp_path / "c" / "manifest.msgpack").read_bytes(), "m")
    assert manifest.trainer == "diffusion"
    assert {s.name: s.version for s in manifest.sections} == {
        "model": 3, "extra": 1, "provenance": 1,
    }  # fmt: skip
    assert restored(tmp_path / "c")["provenance"]["saved"]["trainer"] == "diffusion"


@pytest.mark.parametrize("versions", [{"nothing": 2}, {"model": 0}, {"model": "2"}, {"model": 7}])
def test_versions_that_cannot_be_are_refused_before_anything_is_written(tmp_path, versions):
    with pytest.raises(UnrepresentableError, match="versions/"):
        save_plain(tmp_path / "c", {"model": a_model()}, versions=versions)
    assert list(tmp_path.iterdir()) == []


def test_the_report_is_short_for_people_and_plain_for_programs(tmp_path):
    report = save_plain(tmp_path / "c", {"model": a_model()})
    assert len(str(report).splitlines()) <= 3
    assert str(tmp_path / "c") in str(report)
    told = json.loads(json.dumps(report.as_dict()))
    assert told["digest"] == (tmp_path / "c" / "manifest.msgpack").read_bytes()[-16:].hex()
    assert told["tensors"] == len(a_model().state_dict())


def test_progress_counts_every_byte_of_the_tensors(tmp_path):
    totals, steps = [], []
    report = save_plain(
        tmp_path / "c", {"model": a_model()}, started=totals.append, progress=steps.append
    )
    assert totals == [report.tensor_nbytes]
    assert sum(steps) == report.tensor_nbytes


def test_the_same_state_gives_the_same_bytes(tmp_path):
    state = {"model": a_model(), "extra": {"s": {"b", "a", "c"}}}
    one, other = save_plain(tmp_path / "a", state), save_plain(tmp_path / "b", state)
    assert one.digest == other.digest


def test_importing_ckptkit_imports_no_torch():
    code = "import sys, ckptkit; ckptkit.SaveReport; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
