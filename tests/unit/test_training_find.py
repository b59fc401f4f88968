"""A trainer is found by its name, or the answer says which there are and what to install."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from ckptkit.errors import MissingExtraError, TrainerError, UnknownTrainerError
from ckptkit.hooks import manager
from ckptkit.hooks.manager import Registry
from ckptkit.training.find import (
    find_action,
    find_trainer,
    missing_libraries,
    require_libraries,
)
from ckptkit.training.named import named, settings_class
from tests.fake_trainer import PLUGIN, installed, write_plugin


@pytest.fixture
def tiny(tmp_path):
    with installed(write_plugin(tmp_path / "site")):
        yield find_trainer("tiny")


def test_an_unknown_name_is_answered_with_the_nearest(tiny):
    with pytest.raises(
        UnknownTrainerError, match=r"one that is installed: tiny; did you mean tiny"
    ):
        find_trainer("tinny")
    with pytest.raises(UnknownTrainerError, match="install the package that offers it"):
        find_trainer("gpt")


def test_where_a_plugin_failed_the_answer_says_where_to_look(tmp_path):
    site = write_plugin(tmp_path / "site", plugin="raise OSError({needs!r})")
    told = "why these plugins failed: tiny"
    with installed(site), pytest.raises(UnknownTrainerError, match=told):
        find_trainer("tiny")


def test_the_failed_plugin_of_that_very_name_is_told_before_a_name_that_is_near(monkeypatch):
    rows = [SimpleNamespace(name="tiny", state="failed")]
    near = [SimpleNamespace(name="tinny")]
    monkeypatch.setattr("ckptkit.training.find.plugin_table", lambda: rows)
    monkeypatch.setattr("ckptkit.training.find.trainers", lambda: near)
    with pytest.raises(UnknownTrainerError, match="why these plugins failed: tiny"):
        find_trainer("tiny")
    with pytest.raises(UnknownTrainerError, match=r"did you mean tinny\?"):
        find_trainer("tinnny")


def test_without_any_trainer_the_answer_does_not_list_them(monkeypatch):
    monkeypatch.setitem(manager._state, "registry", Registry([]))
    with pytest.raises(UnknownTrainerError, match="expected a plugin that offers one"):
        find_trainer("tiny")


def test_an_action_that_a_trainer_has_not_is_answered_with_its_own(tiny):
    assert find_action(tiny, "sample").title == "draw"
    with pytest.raises(UnknownTrainerError, match=r"no action 'paint'.*sample, evaluate"):
        find_action(tiny, "paint")


def test_what_is_missing_is_named_with_what_to_install_and_not_imported(tmp_path):
    needs = "'a_library_that_nobody_has', 'wave.submodule', 'json'"
    with installed(write_plugin(tmp_path / "site", needs=needs)):
        trainer = find_trainer("tiny")
        sys.modules.pop("wave", None)
        assert missing_libraries(trainer) == ["a_library_that_nobody_has"]
        assert "wave" not in sys.modules
        with pytest.raises(MissingExtraError, match=r"pip install 'tiny\[all\]'"):
            require_libraries(trainer)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("tiny_config", '"module:name"'), (":x", '"module:name"'), ("no_such_module:x", "no module"),
        ("tiny_config.sub:x", "no module"), ("tiny_config:Confg", "no 'Confg' in it"),
        ("tiny_broken:x", "importing it failed"), ("tiny_config:option", "a dataclass"),
    ],
)  # fmt: skip
def test_a_name_that_leads_nowhere_is_a_defect_of_the_plugin(tiny, tmp_path, spec, told):
    (tmp_path / "site" / "tiny_broken.py").write_text("1 / 0")
    with pytest.raises(TrainerError, match="trainer tiny, config") as caught:
        settings_class(tiny, spec, "config")
    assert told in str(caught.value)


def test_a_module_that_misses_a_library_says_which(tiny, tmp_path):
    (tmp_path / "site" / "tiny_lacking.py").write_text("import a_library_that_nobody_has")
    with pytest.raises(MissingExtraError, match="needs a_library_that_nobody_has"):
        named(tiny, "tiny_lacking:train", "train")


def test_offering_a_trainer_imports_nothing_of_it(tmp_path):
    with installed(write_plugin(tmp_path / "site")):
        assert [one.name for one in manager.trainers()] == ["tiny"]
        assert not {"tiny_config", "tiny_train", "tiny_deeds"} & set(sys.modules)


def test_the_plugin_of_these_tests_is_one_that_docs_would_show():
    assert "from ckptkit.plugin import Action, Trainer, hookimpl" in PLUGIN
