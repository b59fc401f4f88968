"""docs/trainers/diffusion.md names settings and tests that are there."""

import re
from dataclasses import fields
from pathlib import Path

from ckptkit_trainers.diffusion.config import Config, EvaluateOptions, SampleOptions

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "trainers" / "diffusion.md").read_text()
OF_THE_COMMANDS = {"resume", "help", "out"}  # what every training's command line has
OF_THE_SEED = {"checkpoint", "num_samples"}


def test_every_option_of_the_guide_is_a_setting():
    known = {
        field.name for one in (Config, SampleOptions, EvaluateOptions) for field in fields(one)
    }
    said = {name.replace("-", "_") for name in re.findall(r"--([a-z][a-z_-]*)", GUIDE)}
    said -= {"nproc_per_node"}
    assert said - known - OF_THE_COMMANDS - OF_THE_SEED == set()


def test_every_test_that_the_guide_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(?:\w+::)?(\w+)`", GUIDE)
    assert len(named) >= 15
    for path, name in named:
        inherited = ROOT / "ckptkit" / "testing" / "trainer_contract.py"
        texts = (ROOT / path).read_text() + inherited.read_text()
        assert f"def {name}(" in texts, f"{path} has no {name}"
