"""docs/cli.md and the commands say the same: options, fields, exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from ckptkit import errors
from ckptkit.cli.main import COMMANDS, app
from ckptkit.types import Limits
from tests.fake_trainer import installed, write_plugin

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    return re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)[1]


def fields(text: str) -> list[str]:
    """The names in backticks, without what stands in brackets."""
    while (inner := re.sub(r"\([^()]*\)", "", text)) != text:
        text = inner
    assert "(" not in text, "brackets that are never closed"
    return re.findall(r"`(\w+)`", text)


def json_fields(name: str) -> tuple[list[str], list[str]]:
    """The documented top-level fields and those of one element."""
    text = " ".join(section(name).split("JSON fields: ")[1].split("\n\n")[0].split())
    first, _, rest = text.partition(". ")
    return fields(first), fields(rest.split(", or ")[0].partition(" has ")[2])


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory, zoo):
    """A trainer, and one checkpoint of it among the others."""
    from importlib import import_module

    site = write_plugin(tmp_path_factory.mktemp("site"), real=True)
    with installed(site):
        config = import_module("tiny_config").Config(epochs=1)
        runs = tmp_path_factory.mktemp("runs")
        import_module("tiny_train").train(config, runs)
        yield runs


def command_of(name: str) -> click.Command:
    """The command; that of a trainer, without the trainer's own options, for ``train``."""
    command = app.get_command(None, name)
    return command.get_command(click.Context(command), "tiny") if name == "train" else command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_and_no_other(name):
    documented = set(re.findall(r"^\| `(--[a-z-]+)", section(name), re.MULTILINE))
    params = [p for p in command_of(name).params if not hasattr(p, "setting")]
    options = {max(p.opts, key=len) for p in params if isinstance(p, click.Option)}
    assert documented == options


def test_every_exit_code_of_the_errors_is_in_the_table_and_no_other():
    rows = re.findall(r"^\| (\d+) \| (\w*) ?\| (.*) \|$", section("Exit codes"), re.MULTILINE)
    documented = {(int(code), kind) for code, kind, _ in rows}
    ours = {
        (error.exit_code, error.__name__.removesuffix("Error"))
        for error in vars(errors).values()
        if isinstance(error, type)
        and issubclass(error, errors.CkptkitError)
        and "exit_code" in vars(error)
        and error is not errors.CkptkitError
    }
    fixed = {(0, ""), (2, "Usage"), (70, "Defect"), (141, "")}
    fixed |= {(129, "HungUp"), (130, "Interrupted"), (143, "Terminated")}
    assert documented == ours | fixed
    codes = [code for code, _ in documented]
    assert len(codes) == len(set(codes))


CALLS = {
    "inspect": ["training.pt"],
    "list": ["."],
    "scan": ["evil.pt"],
    "verify": ["sealed"],
    "diff": ["training.pt", "sealed"],
    "migrate": ["--dry-run", "training.pt"],
    "export": ["--dry-run", "--to", "torch", "training.pt", "out.pt"],
    "recover": ["--dry-run", "cut.pt", "rescued"],
    "check": ["training.pt", "--model", "torch.nn:Linear", "--args", "[4, 4]"],
    "prune": [".", "--keep-last", "1", "--dry-run"],
    "plot": [str(Path(__file__).parents[1] / "run" / "by_hand")],
    "train": ["tiny", "--out", "TMP", "--epochs", "1"],
    "resume": ["RUNS"],
    "sample": ["RUNS"],
    "evaluate": ["RUNS"],
    "plugins": [],
}
ELEMENTS = {
    "list": "checkpoints",
    "scan": "paths",
    "verify": "paths",
    "check": "components",
    "prune": "checkpoints",
    "plot": "runs",
    "plugins": "plugins",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_documented_fields_are_those_that_are_printed(
    call, zoo, tiny, tmp_path, monkeypatch, name
):
    monkeypatch.chdir(zoo)
    words = [{"RUNS": str(tiny), "TMP": str(tmp_path)}.get(word, word) for word in CALLS[name]]
    printed = json.loads(call(name, *words, "--json").stdout)
    top, inner = json_fields(name)
    if name == "inspect":
        top = [field for field in top if field not in ("tensors", "tree")]
    assert top == list(printed)
    if name in ELEMENTS:
        assert inner == list(printed[ELEMENTS[name]][0])


def test_the_fields_on_request_are_those_that_are_printed(call, zoo):
    found = json.loads(call("inspect", "--json", "--stats", "--tree", zoo / "views.pt").stdout)
    assert {"tensors", "tree"} <= set(found)
    tree = json.loads(call("migrate", "--json", "--dry-run", "--recursive", zoo).stdout)
    assert set(tree) == {"reports", "failures", "skipped"}


def test_the_fields_of_a_dry_run_are_those_that_are_printed(call, tiny):
    text = " ".join(
        section("train").split("With `--dry-run` they are: ")[1].split("\n\n")[0].split()
    )
    printed = json.loads(call("train", "tiny", "--dry-run", "--json", "--out", tiny).stdout)
    assert fields(text) == list(printed)


def test_the_fields_of_a_trainer_are_those_that_are_printed(call):
    text = " ".join(section("plugins").split("A trainer is ")[1].split())
    printed = json.loads(call("plugins", "--json").stdout)["trainers"][0]
    assert fields(text) == list(printed)


def test_the_error_object_is_documented(call):
    printed = json.loads(call("inspect", "--json", "nowhere.pt").stdout)["error"]
    documented = re.search(r'\{"error": \{(.*?)\}\}', DOCS, re.DOTALL)[1]
    assert set(printed) <= set(re.findall(r'"(\w+)"', documented))


def test_the_limit_of_the_example_exists():
    assert set(re.findall(r"--limit (max_\w+)=", DOCS)) <= set(Limits.__slots__)


def test_the_synopsis_lists_every_command():
    synopsis = re.search(r"```\nckptkit ([^\n]*)\n```", DOCS)[1]
    assert synopsis.split(" | ") == list(COMMANDS)
