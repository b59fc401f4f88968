"""Ctrl+C on a terminal where ``train`` asks whether to go on: it leaves, and nothing has changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.fake_trainer import write_plugin
from tests.on_terminal import on_terminal

ROOT = Path(__file__).parents[2]


def train(place, site, *typed):
    """Train on a terminal."""
    return on_terminal(
        [sys.executable, "-m", "ckptkit.cli.main", "train", "tiny", "--epochs", "1"], typed,
        cwd=place, env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(site)))},
    )  # fmt: skip


def contents(folder):
    """Every file with its bytes, and when it was changed."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("typed", [b"\x03", b"maybe\n\x03"], ids=["at once", "after nonsense"])
def test_ctrl_c_at_the_question_leaves_with_130_and_changes_nothing(tmp_path, typed):
    site = write_plugin(tmp_path / "site", real=True)
    place = tmp_path / "place"
    place.mkdir()
    code, said = train(place, site)
    assert code == 0, said
    before = contents(place)
    code, said = train(place, site, typed)
    assert "Resume from it? [y/N]: " in said
    assert (code, said.splitlines()[-1]) == (130, "interrupted")
    assert "Traceback" not in said
    assert contents(place) == before
