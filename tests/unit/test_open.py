"""Opening for programs: whose keys they are, and a checkpoint that was moved aside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ckptkit.errors import NotFoundError
from ckptkit.storage.leftovers import sibling_name
from ckptkit.verbs.migrate import migrate
from ckptkit.verbs.open import load
from tests.unit.folder_making import weights


def test_every_checkpoint_has_a_dialect_sealed_or_not(tmp_path: Path) -> None:
    weights(tmp_path / "w.safetensors", w=1)
    with load(tmp_path / "w.safetensors") as checkpoint:
        assert checkpoint.dialect == checkpoint.verdict.dialect.name == "bare"
    migrate(tmp_path / "w.safetensors", tmp_path / "sealed")
    with load(tmp_path / "sealed") as checkpoint:
        assert checkpoint.verdict is None
        assert checkpoint.dialect == "bare"


def dead_name(target: Path) -> str:
    """The name that a process which has ended gave what it moved aside."""
    code = (
        "import sys; from pathlib import Path; from ckptkit.storage.leftovers import sibling_name;"
        "print(sibling_name(Path(sys.argv[1]), 'old'))"
    )
    words = [sys.executable, "-c", code, str(target)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_a_reader_opens_what_was_moved_aside_where_it_lies(tmp_path: Path) -> None:
    weights(tmp_path / "w.safetensors", w=1)
    migrate(tmp_path / "w.safetensors", tmp_path / "run")
    aside = tmp_path / dead_name(tmp_path / "run")
    (tmp_path / "run").rename(aside)
    before = sorted(os.listdir(tmp_path))
    with load(tmp_path / "run") as checkpoint:
        assert checkpoint.path == tmp_path / "run"
        assert list(checkpoint.document["model"]) == ["w"]
        assert "moved-aside" in {notice.code for notice in checkpoint.notices}
    assert sorted(os.listdir(tmp_path)) == before


def test_what_a_living_writer_moved_aside_is_not_opened(tmp_path: Path) -> None:
    weights(tmp_path / sibling_name(tmp_path / "run", "old") / "model.safetensors", w=1)
    with pytest.raises(NotFoundError):
        load(tmp_path / "run")


def test_a_parent_that_cannot_be_listed_means_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listdir(path: object = ".") -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", listdir)
    with pytest.raises(NotFoundError):
        load(tmp_path / "run")
