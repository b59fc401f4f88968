"""``ckptkit plugins``: who is there, and who failed and why."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def installed(tmp_path):
    """Install distributions into a folder for PYTHONPATH."""

    def install(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        info = tmp_path / f"dist_{name}-1.5.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(f"[ckptkit]\n{name} = {name}\n")
        return str(tmp_path)

    return install


DIALECT = """
from ckptkit.plugin import hookimpl
class D:
    name, title = {name!r}, "D"
    def recognise(self, view): return None
    def interpret(self, view): raise NotImplementedError
@hookimpl
def ckptkit_dialects(): return [D()]
"""


def rows(ended):
    return {row["name"]: row for row in json.loads(ended.out)["plugins"]}


def test_ours_are_listed(call):
    result = call("plugins")
    assert result.exit_code == 0
    assert "torch-zip" in result.stdout
    assert "training-dict" in result.stdout


def test_an_installed_plugin_and_a_broken_one(spawn, installed, zoo):
    installed("fine", DIALECT.format(name="brand-new"))
    path = installed("sick", "raise OSError('no such library')")
    ended = spawn("plugins", "--json", PYTHONPATH=path)
    assert ended.code == 0
    found = rows(ended)
    assert (found["fine"]["state"], found["fine"]["dialects"]) == ("loaded", ["brand-new"])
    assert found["fine"]["distribution"] == "dist-fine"
    assert found["sick"]["state"] == "failed"
    assert "OSError: no such library (sick.py, line 1)" in found["sick"]["error"]
    table = spawn("plugins", PYTHONPATH=path)
    assert "no such library" in table.out
    assert spawn("inspect", zoo / "training.pt", PYTHONPATH=path).code == 0


def test_a_conflict_is_told_and_has_its_own_code(spawn, installed, zoo):
    path = installed("thief", DIALECT.format(name="bare"))
    ended = spawn("plugins", "--json", PYTHONPATH=path)
    assert ended.code == 50
    assert "offers 'bare'" in rows(ended)["thief"]["error"]
    assert spawn("inspect", zoo / "training.pt", PYTHONPATH=path).code == 50
    cured = spawn("inspect", zoo / "training.pt", PYTHONPATH=path, CKPTKIT_DISABLE_PLUGINS="thief")
    assert cured.code == 0
    listed = spawn("plugins", "--json", PYTHONPATH=path, CKPTKIT_DISABLE_PLUGINS="all")
    assert rows(listed)["thief"]["state"] == "disabled"
