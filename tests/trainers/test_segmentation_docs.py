"""docs/trainers/segmentation.md: the options and the tests that it names exist."""

import ast
import re
from dataclasses import fields
from pathlib import Path

from ckptkit_trainers.segmentation.config import MODELS, Config, EvaluateOptions, SampleOptions

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "trainers" / "segmentation.md").read_text(encoding="utf-8")
OF_THE_COMMAND = {
    "resume",
    "resume-from",
    "checkpoint",
    "out",
    "dry-run",
    "self-test",
    "trainer",
    "to",
}
OF_THE_SEEDS = {"--save_every", "--resume_from", "--data_dir", "--dataset_name", "--model_name",
                "--model_save_dir", "--use_wandb"}  # fmt: skip


def known():
    names = {one.name for kind in (Config, SampleOptions, EvaluateOptions) for one in fields(kind)}
    return {name.replace("_", "-") for name in names} | OF_THE_COMMAND


def test_every_option_that_is_named_exists():
    named = set(re.findall(r"--[a-z][a-z_-]*[a-z]", TEXT)) - OF_THE_SEEDS
    assert len(named) > 20
    assert {name for name in named if name[2:] not in known()} == set()


def test_the_options_of_the_seeds_are_options_here(tmp_path):
    from click.testing import CliRunner

    from ckptkit.cli.main import app

    told = CliRunner().invoke(app, ["train", "segmentation", "--help"]).output
    for option in ("--checkpoint", "--resume-from", "--resume", "--epochs", "--batch-size", "--lr",
                   "--data", "--out", "--pretrained", "--wandb", "--device", "--save-every-epochs"):  # fmt: skip
        assert re.search(rf"{option}\b", told), option


def test_every_test_that_is_named_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
    assert len(named) > 20
    gone = []
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        if name not in {getattr(one, "name", "") for one in tree.body}:
            gone.append(f"{path}::{name}")
    assert gone == []


def test_every_architecture_has_its_row():
    assert all(f"| `{model}` |" in TEXT for model in MODELS)
