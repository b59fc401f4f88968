"""A dataclass becomes options, and what is said of them becomes a config."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ckptkit.errors import (
    AccessDeniedError,
    NotFoundError,
    SettingError,
    TrainerError,
)
from ckptkit.training.build import Layer, build
from ckptkit.training.config_file import read_settings
from ckptkit.training.find import find_trainer
from ckptkit.training.kinds import UNREADABLE, Kind, kind_of, read_value
from ckptkit.training.option import REQUIRED, options_of
from tests.fake_trainer import CONFIG, installed, write_plugin


@pytest.fixture
def tiny(tmp_path):
    with installed(write_plugin(tmp_path / "site")):
        yield find_trainer("tiny")


def with_config(tmp_path, source):
    """The trainer with another config."""
    return installed(write_plugin(tmp_path / "site", config=source))


def built(trainer, *layers, **told):
    return build(trainer, [Layer(f"layer {n}", v) for n, v in enumerate(layers)], **told)


def test_every_field_of_the_dataclass_is_an_option_with_what_it_says(tiny):
    options = {one.name: one for one in options_of(tiny, tiny.config)}
    width = options["width"]
    assert (width.flag, width.default, width.help, width.policy) == (
        "--width", 6, "hidden units", "architecture"
    )  # fmt: skip
    assert options["batch_size"].flag == "--batch-size"
    assert options["act"].kind.choices == ("relu", "gelu")
    assert options["precision"].kind.choices == ("fp32", "bf16")
    assert options["lr"].policy == "free"
    assert options["shuffle"].is_switch


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("width", 8, "--width 8"), ("batch_size", 4, "--batch-size 4"),
        ("shuffle", True, "--shuffle"), ("shuffle", False, "--no-shuffle"),
        ("betas", (0.9, 0.99), "--betas 0.9,0.99"), ("clip", None, "--clip none"),
        ("data", "a b", "--data 'a b'"), ("data", "", "--data ''"),
    ],
)  # fmt: skip
def test_a_value_is_said_as_a_shell_takes_it(tiny, name, value, words):
    (option,) = (one for one in options_of(tiny, tiny.config) if one.name == name)
    assert option.words(value) == words


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (int, "7", 7), (int, "-1", -1), (float, "1e-3", 0.001), (float, "3", 3.0),
        (str, "a b", "a b"), (str, "", ""), (bool, "yes", True), (bool, "OFF", False),
        (Path, "a/b", Path("a/b")), (int | None, "none", None), (int | None, "4", 4),
        (tuple[int, ...], "32,64", (32, 64)), (tuple[int, ...], "[32, 64]", (32, 64)),
        (tuple[int, ...], "", ()), (tuple[float, float], "0.9, 0.99", (0.9, 0.99)),
        (tuple[str, ...], "red,blue", ("red", "blue")),
    ],
)  # fmt: skip
def test_text_is_read_as_its_type_says(hint, text, value):
    read = read_value(kind_of(hint), text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, "1.5"), (int, "many"), (int, True), (int, 1.5), (int, None), (float, "fast"),
        (float, False), (bool, "maybe"), (bool, 1), (str, 4), (Path, 4),
        (tuple[int, int], "1"), (tuple[int, int], [1, 2, 3]), (tuple[int, ...], 4),
        (tuple[int, ...], "1,x"), (tuple[int, ...], "[1"), (int, "9" * 5000), (float, [1.0]),
    ],
)  # fmt: skip
def test_what_is_of_another_type_is_refused(hint, value):
    with pytest.raises(UNREADABLE):
        read_value(kind_of(hint), value)


def test_a_value_that_is_no_choice_is_refused():
    with pytest.raises(ValueError, match="choice"):
        read_value(Kind(str, ("a", "b")), "c")


@pytest.mark.parametrize("hint", [dict, list[int], int | str, tuple[int, str], object])
def test_a_type_that_no_option_can_have_is_a_defect_of_the_plugin(tmp_path, hint):
    assert kind_of(hint) is None
    source = "from dataclasses import dataclass\n@dataclass\nclass Config:\n    odd: dict = None\n"
    with with_config(tmp_path, source):
        trainer = find_trainer("tiny")
        with pytest.raises(TrainerError, match=r"its setting odd is of the type.*dict"):
            options_of(trainer, trainer.config)


def test_a_policy_that_is_none_is_a_defect_of_the_plugin(tmp_path):
    source = CONFIG.replace('resume="architecture"', 'resume="frozen"')
    with with_config(tmp_path, source):
        trainer = find_trainer("tiny")
        with pytest.raises(TrainerError, match="width says resume is 'frozen'"):
            options_of(trainer, trainer.config)


def test_the_last_layer_wins_and_the_rest_is_the_default(tiny):
    config = built(tiny, {"lr": 1, "epochs": 5}, {"lr": "0.5"}, {"epochs": "7"}).config
    assert (config.lr, config.epochs, config.width) == (0.5, 7, 6)


def test_dashes_are_underscores(tiny):
    assert built(tiny, {"batch-size": "2"}).config.batch_size == 2


def test_an_unknown_name_is_refused_with_the_one_that_was_meant(tiny):
    with pytest.raises(SettingError, match="layer 0: 'epoch' is no setting of tiny; did you mean"):
        built(tiny, {"epoch": 3})
    with pytest.raises(SettingError, match="there are epochs, width"):
        built(tiny, {"zzz": 3})


def test_a_value_that_does_not_fit_names_the_setting_and_what_it_takes(tiny):
    with pytest.raises(SettingError, match="precision is 'fp8'; expected one of fp32, bf16"):
        built(tiny, {"precision": "fp8"})
    with pytest.raises(SettingError, match="epochs is below 0"):
        built(tiny, {"epochs": -1})


def test_a_setting_without_a_default_must_be_given(tmp_path):
    source = CONFIG.replace("batch_size: int = 4", "batch_size: int")
    with with_config(tmp_path, source):
        trainer = find_trainer("tiny")
        assert options_of(trainer, trainer.config)[6].default is REQUIRED
        with pytest.raises(SettingError, match="--batch-size must be given"):
            built(trainer, {})
        assert built(trainer, {"batch_size": 2}).config.batch_size == 2


def test_stored_settings_are_weaker_than_any_layer(tiny):
    stored = Layer("old", {"lr": 0.5, "epochs": 9})
    config = built(tiny, {"epochs": 2}, stored=stored).config
    assert (config.lr, config.epochs) == (0.5, 2)


def test_stored_settings_that_are_gone_or_no_longer_fit_are_told_and_nothing_is_refused(tiny):
    stored = Layer("old", {"lr": 0.5, "depth": 3, "act": "swish", "betas": [0.5, 0.75]})
    config, notes = built(tiny, stored=stored)
    assert (config.lr, config.act, config.betas) == (0.5, "relu", (0.5, 0.75))
    assert "no longer has: depth=3" in notes[0]
    assert "act='swish' (it is one of relu, gelu now)" in notes[1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps({"lr": 0.5, "betas": [0.5, 0.75]})),
        ("a.toml", "lr = 0.5\nbetas = [0.5, 0.75]\n"),
        ("a.yaml", "lr: 5e-1\nbetas: [0.5, 0.75]\n"),  # YAML 1.1 takes 5e-1 for text
    ],
)
def test_a_file_of_each_kind_is_read(tiny, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    config = build(tiny, [read_settings(tmp_path / name)]).config
    assert (config.lr, config.betas) == (0.5, (0.5, 0.75))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{"), ("a.json", "[1]"), ("a.json", '"x"'), ("a.toml", "lr = "),
        ("a.yaml", "a: [1"), ("a.yml", "just words"), ("a.txt", "lr = 1"), ("a.json", "\0"),
        ("a.json", "[" * 100_000), ("a.toml", "x = 1\n" * 200_000),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_settings_is_refused_by_name(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingError, match=name):
        read_settings(tmp_path / name)


@pytest.mark.parametrize("name", ["a.json", "a.toml", "a.yaml"])
def test_a_mark_of_the_byte_order_is_no_fault(tiny, tmp_path, name):
    text = {"json": '{"lr": 0.5}', "toml": "lr = 0.5", "yaml": "lr: 0.5"}[name[2:]]
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert build(tiny, [read_settings(tmp_path / name)]).config.lr == 0.5


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", '{"lr": 1, "epochs": 2, "lr": 3}'), ("a.yaml", "lr: 1\nepochs: 2\nlr: 3\n")],
)
def test_a_setting_that_is_said_twice_is_refused_and_named(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingError, match="'lr' is said more than once"):
        read_settings(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", ""), ("a.json", " \n"), ("a.yaml", ""), ("a.yaml", "# lr: 1\n")]
)
def test_an_empty_file_is_said_to_be_empty(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingError, match=rf"{name}: is empty; expected settings by name"):
        read_settings(tmp_path / name)


def test_a_file_that_is_not_there_or_a_folder_is_said_to_be_so(tmp_path):
    with pytest.raises(NotFoundError):
        read_settings(tmp_path / "none.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(AccessDeniedError, match=r"folder\.json"):
        read_settings(tmp_path / "folder.json")


def test_an_unknown_name_in_a_file_is_refused_with_the_file(tiny, tmp_path):
    (tmp_path / "a.json").write_text('{"learning_rate": 1}')
    with pytest.raises(SettingError, match=r"a\.json: 'learning_rate' is no setting of tiny"):
        build(tiny, [read_settings(tmp_path / "a.json")])
