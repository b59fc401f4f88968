"""docs/trainers.md and its pages: every option, and every test that they name, exists."""

import ast
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ckptkit.cli.main import COMMANDS, app
from ckptkit.cli.training_options import FRESH_OR_NOT, RESUMING, RUNNING, SETTINGS, params_of
from ckptkit.hooks.manager import trainers
from ckptkit.training.option import options_of
from tests.plugins.whose import PLUGINS, each

ROOT = Path(__file__).parents[2]
TABLES = (ROOT / "docs" / "trainers.md").read_text(encoding="utf-8")
PAGES = {path.stem: path for path in (ROOT / "docs" / "trainers").glob("*.md")}
ROWS = [
    [cell.strip() for cell in line.strip("|\n ").split(" | ")]
    for line in TABLES.partition("## Every feature")[2].splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| feature"))
]
#: Of other commands than train, resume, sample and evaluate; of torchrun; and of the seeds.
ELSEWHERE = {
    "--help", "--out", "--trainer", "--to", "--which", "--nproc-per-node", "--work",
    "--num_samples", "--save_every", "--resume_from", "--data_dir", "--dataset_name",
    "--model_name", "--model_save_dir", "--use_wandb", "--root_dir", "--savedir",
}  # fmt: skip


def flags_of(trainer):
    kinds = [trainer.config, *(action.options for action in trainer.actions)]
    return {one.flag for kind in kinds for one in options_of(trainer, kind)}


def common_options():
    params = params_of(FRESH_OR_NOT, RESUMING, SETTINGS, RUNNING)
    return {word for param in params for word in param.opts}


def named_in(path):
    """The tests of a file by name; what a class inherits counts as its own."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found.add(node.name)
            if any(getattr(base, "id", "") == "TrainerContract" for base in node.bases):
                found |= {f"{node.name}::{one}" for one in contract()}
    return found


def contract():
    return re.findall(
        r"def (test_\w+)\(", (ROOT / "ckptkit/testing/trainer_contract.py").read_text()
    )


def test_every_trainer_has_its_page_and_its_row():
    assert set(PAGES) == PLUGINS
    assert all(f"[{name}.md](trainers/{name}.md)" in TABLES for name in PLUGINS)


def test_no_row_is_empty_and_every_test_that_is_named_exists():
    assert len(ROWS) > 80
    wrong = []
    for row in ROWS:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?`", row[-1])
        if len(row) != 3 or not all(row) or not named:
            wrong.append(row)
        for path, name in named:
            if not (ROOT / path).exists() or (name and name not in named_in(path)):
                wrong.append((path, name))
    assert wrong == []


@pytest.mark.parametrize("name", each(sorted(PAGES)))
def test_every_option_of_a_page_exists(name):
    (trainer,) = [one for one in trainers() if one.name == name]
    known = flags_of(trainer) | common_options() | ELSEWHERE
    named = set(re.findall(r"--[a-z][a-z_-]*[a-z]", PAGES[name].read_text(encoding="utf-8")))
    assert len(named) > 3
    assert named - known == set()


@pytest.mark.of_plugin("segmentation")
def test_the_options_of_the_segmentation_scripts_are_options_here():
    told = CliRunner().invoke(app, ["train", "segmentation", "--help"]).output
    for option in ("--checkpoint", "--resume-from", "--resume", "--epochs", "--batch-size", "--lr",
                   "--data", "--out", "--pretrained", "--wandb", "--device", "--save-every-epochs"):  # fmt: skip
        assert re.search(rf"{option}\b", told), option


@pytest.mark.of_plugin(*PLUGINS)  # one table names the options of all
def test_every_option_of_the_tables_exists():
    known = common_options() | ELSEWHERE
    for one in trainers():
        known |= flags_of(one)
    assert set(re.findall(r"--[a-z][a-z_-]*[a-z]", TABLES)) - known == set()


def test_every_command_of_the_tables_exists():
    assert set(re.findall(r"ckptkit ([a-z]+)", TABLES.replace("-m ckptkit", "ckptkit"))) <= set(
        COMMANDS
    )
