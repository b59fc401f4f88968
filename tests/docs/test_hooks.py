"""The trainer of docs/hooks.md is one: written as it stands there, it trains, resumes and is measured."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ckptkit.cli.main import app
from ckptkit.hooks import manager
from ckptkit.hooks.discovery import find_entry_points
from ckptkit.hooks.manager import Registry

DOCS = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n# (points/\w+\.py)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def points(tmp_path, monkeypatch):
    """The package, installed in this process as its toml announces it."""
    for name, source in BLOCK.findall(DOCS):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    announced = re.search(r'^points = "([\w.]+)"$', DOCS, re.MULTILINE)[1]
    info = tmp_path / "points-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(f"[ckptkit]\npoints = {announced}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    found = find_entry_points(manager.GROUP, [str(tmp_path)])
    monkeypatch.setitem(manager._state, "registry", Registry(found))
    yield
    for name in [one for one in sys.modules if one.partition(".")[0] == "points"]:
        del sys.modules[name]


def commands():
    text = re.search(r"^```\n(ckptkit train points.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)[1]
    return [line.split()[1:] for line in text.splitlines()]


def test_the_commands_of_the_page_work_on_the_trainer_of_the_page(points):
    train, resume, evaluate = commands()
    begun, gone_on, measured = (
        CliRunner().invoke(app, [*words, "--json"]) for words in (train, resume, evaluate)
    )
    assert (begun.exit_code, json.loads(begun.stdout)["epochs"]) == (0, 5)
    assert (gone_on.exit_code, json.loads(gone_on.stdout)["epochs"]) == (0, 8)
    assert re.search(r"^ckptkit: lr +0\.05 +0\.1 +0\.05$", gone_on.stderr, re.MULTILINE)
    results = json.loads(measured.stdout)["results"]
    assert results["samples"] == 16
    assert results["accuracy"] > 0.8


def test_the_options_are_those_of_its_dataclass(points):
    told = CliRunner().invoke(app, ["train", "points", "--help"]).stdout
    assert "--width INTEGER" in told.partition("Training")[0]
    assert "[relu|gelu]" in told
    assert "learning rate [default: 0.1]" in told
    assert "torch" not in Path("points/config.py").read_text()


def test_the_same_from_python(points):
    import ckptkit

    view = ckptkit.trainer("points").train(epochs=1, run={"tell": lambda _: None})
    assert view.history["epoch"] == [1]
    assert view.config["epochs"] == 1
