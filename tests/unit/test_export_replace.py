"""`export --replace` replaces checkpoints alone: anybody's other file stays, whatever its name."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from ckptkit.errors import TargetExistsError
from ckptkit.verbs.export import ExportOptions, export

FORMS = ("torch", "safetensors", "hf")
SCRIPT = b"import torch\n\n\ndef train():\n    return 1\n"


@pytest.fixture
def source(tmp_path):
    torch.save({"model": {"w": torch.ones(2, 3)}, "epoch": 1}, tmp_path / "run.pt")
    return tmp_path / "run.pt"


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("gpt.py", SCRIPT),
        ("script.pt", SCRIPT),
        ("notes.txt", b"lr 3e-4 worked"),
        ("empty.pt", b""),
        ("numbers.pkl", b"\x80\x04]\x94(K\x01K\x02e."),
        ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(100)),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_no_checkpoint_is_never_replaced(
    source, tmp_path, form, name, content, dry_run
):
    target = tmp_path / name
    target.write_bytes(content)
    with pytest.raises(TargetExistsError):
        export(source, target, ExportOptions(to=form, replace=True, dry_run=dry_run))
    assert target.read_bytes() == content


@pytest.mark.parametrize(
    "files",
    [
        {"train.py": SCRIPT},
        {"config.json": b"{}"},
        {"model.safetensors": SCRIPT},
        {"model.safetensors.index.json": b"{}"},
        {"deep/notes.txt": SCRIPT},
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_a_folder_of_other_files_is_never_replaced(source, tmp_path, form, files):
    for name, content in files.items():
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    sections = ("model", "progress") if form == "safetensors" else ()
    with pytest.raises(TargetExistsError):
        export(source, tmp_path / "out", ExportOptions(to=form, replace=True, sections=sections))
    for name, content in files.items():
        assert (tmp_path / "out" / name).read_bytes() == content


@pytest.mark.parametrize("form", FORMS)
def test_an_export_before_is_replaced(source, tmp_path, form):
    target = tmp_path / "out"
    export(source, target, ExportOptions(to=form))
    torch.save({"model": {"w": torch.zeros(2, 3)}}, source)
    assert export(source, target, ExportOptions(to=form, replace=True)).proved


@pytest.mark.parametrize("form", ["torch", "safetensors"])
def test_a_checkpoint_of_another_kind_is_replaced(source, tmp_path, form):
    save_file({"v": torch.ones(4)}, tmp_path / "out")
    assert export(source, tmp_path / "out", ExportOptions(to=form, replace=True)).proved
