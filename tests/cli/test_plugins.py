"""``ckptkit plugins``: who is there, and who failed and why."""

from __future__ import annotations

import json

import pytest

from tests.fake_trainer import write_plugin


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
    misspelt = spawn("plugins", PYTHONPATH=path, CKPTKIT_DISABLE_PLUGINS="thief, theif")
    assert misspelt.err == "CKPTKIT_DISABLE_PLUGINS: theif is the name of no plugin\n"
    listed = spawn("plugins", "--json", PYTHONPATH=path, CKPTKIT_DISABLE_PLUGINS="all")
    assert rows(listed)["thief"]["state"] == "disabled"


def test_a_trainer_is_shown_with_its_commands_its_settings_and_what_it_lacks(spawn, tmp_path):
    site = write_plugin(tmp_path / "site", needs="'json', 'no_such_library',")
    ended = spawn("plugins", "--json", PYTHONPATH=str(site))
    found = {one["name"]: one for one in json.loads(ended.out)["trainers"]}["tiny"]
    assert (found["plugin"], found["actions"]) == ("tiny", ["sample", "evaluate"])
    assert (found["settings"], found["missing"]) == (11, ["no_such_library"])
    told = spawn("plugins", PYTHONPATH=str(site)).out
    assert "needs no_such_library: pip install 'tiny[all]'" in told
    assert "train, resume, sample, evaluate" in told


def test_a_trainer_whose_config_is_broken_is_shown_with_the_reason(spawn, tmp_path):
    site = write_plugin(tmp_path / "site", config="1 / 0")
    told = spawn("plugins", PYTHONPATH=str(site))
    assert told.code == 0
    assert "ZeroDivisionError" in told.out
    assert spawn("train", "tiny", PYTHONPATH=str(site)).code == 53
