"""One plugin is left out, or cannot be imported: it alone is missed, and what it trained is read."""

from __future__ import annotations

import json
import os
import shutil
from itertools import product
from typing import NamedTuple

import pytest
import torch

import ckptkit
from ckptkit.hooks import manager
from tests.plugins.whose import PLUGINS, ROOT, left_out

#: Trainings of a second; the last is for a suite that leaves out one of the others as well.
SMALL = {
    "restoration": "--patch 16 --patches 4 --val-size 16 --width 4 --depth 1 --sample-every 0",
    "segmentation": "--model unet --variant micro --width 8 --size 32 --tiles 2 --val-tiles 2 "
                    "--batch-size 2 --sample-every 0",
    "multimodal": "--limit 8 --width 16 --d-shared 16 --image-size 16 --batch-size 4 "
                  "--sample-every 0",
}  # fmt: skip


class Without(NamedTuple):
    """A plugin that is not there, and the environment in which it is not."""

    name: str
    state: str
    told: str
    environment: dict[str, str]


@pytest.fixture(
    scope="module", params=sorted(product(PLUGINS, ("disabled", "failed"))), ids=" ".join
)
def without(request, tmp_path_factory):
    name, state = request.param
    if state == "disabled":
        told = f"the plugin {name} is left out by CKPTKIT_DISABLE_PLUGINS"
        return Without(name, state, told, {"CKPTKIT_DISABLE_PLUGINS": name})
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "plugins" / "ckptkit_plugins", site / "ckptkit_plugins",
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    # Not deleted: an editable installation would find it all the same.
    (site / "ckptkit_plugins" / f"{name}.py").write_text("raise ModuleNotFoundError('it is gone')")
    path = os.pathsep.join((str(site), os.environ.get("PYTHONPATH", "")))
    told = f"ckptkit plugins says why these plugins failed: {name}"
    return Without(name, state, told, {"PYTHONPATH": path, "CKPTKIT_DISABLE_PLUGINS": ""})


@pytest.fixture(scope="module")
def checkpoint(without, tmp_path_factory):
    """One of its trainer, of an older version: its migrators are what is missed."""
    folder = tmp_path_factory.mktemp("trained") / "checkpoint"
    model = torch.nn.Linear(3, 2)
    ckptkit.save(folder, {"model": model}, trainer=without.name, versions={"model": 1})
    return folder


def test_the_others_are_there_and_offer_their_trainers(spawn, without):
    ended = spawn("plugins", "--json", **without.environment)
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    states = {row["name"]: row["state"] for row in told["plugins"]}
    wanted = dict.fromkeys(PLUGINS, "loaded") | {without.name: without.state, "builtin": "builtin"}
    assert wanted.items() <= states.items()
    assert {one["name"] for one in told["trainers"]} >= PLUGINS - {without.name}
    assert without.name not in {one["name"] for one in told["trainers"]}


def test_a_checkpoint_of_its_trainer_is_shown_and_verified(spawn, without, checkpoint):
    ended = spawn("inspect", checkpoint, **without.environment)
    assert (ended.code, ended.err) == (0, "")
    assert without.name in ended.out
    assert spawn("verify", checkpoint, **without.environment).code == 0


def test_its_commands_say_why_it_is_missing(spawn, without, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a run would begin
    for words in (("train", without.name), ("evaluate", checkpoint)):
        ended = spawn(*words, **without.environment)
        assert ended.code == 52, ended
        assert f"trainer {without.name}: no plugin offers it" in ended.err
        assert without.told in ended.err
        assert "Traceback" not in ended.err


@pytest.mark.parametrize("name", sorted(PLUGINS))
def test_another_trainer_trains_and_is_gone_on_with(call, name, tmp_path, monkeypatch):
    gone = left_out(os.environ.get("CKPTKIT_DISABLE_PLUGINS", "")) | {name}
    other = next(one for one in SMALL if one not in gone)
    monkeypatch.chdir(tmp_path)
    for key, value in manager._state.items():  # and so as it was, when this test is over
        monkeypatch.setitem(manager._state, key, value)
    monkeypatch.setenv("CKPTKIT_DISABLE_PLUGINS", ",".join(sorted(gone)))
    common = ("--epochs", "1", "--no-tensorboard", "--device", "cpu")
    ended = call("train", other, *common, *SMALL[other].split())
    assert ended.exit_code == 0, ended.output
    ended = call("resume", "latest", "--epochs", "2", "--json")
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.stdout)["epochs"] == 2
    assert call("train", name).exit_code == 52
