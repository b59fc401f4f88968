"""A trainer in a package of its own is installed, and keeps the public contract; a broken one fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "trainer_plugin"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the package, because building one writes into its folder."""
    copy = tmp_path_factory.mktemp("source") / "package"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    return copy


def installed(source, target):
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
        "--no-index", "--target", str(target), str(source),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def run(target, *words, cwd):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(target), str(ROOT)))}
    return subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, env=environment, cwd=cwd,
        check=False,
    )  # fmt: skip


def contract(target, source, *words):
    config = source / "pytest.ini"
    config.write_text("[pytest]\n")
    return run(
        target, "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-c", str(config),
        str(source / "tests"), *words, cwd=source,
    )  # fmt: skip


@pytest.mark.xdist_group("trainer spirals")
def test_the_example_package_passes_the_contract_suite(source, tmp_path):
    target = installed(source, tmp_path / "site")
    done = contract(target, source)
    assert done.returncode == 0, done.stdout
    assert "8 passed, 1 skipped" in done.stdout


@pytest.mark.xdist_group("trainer spirals")
@pytest.mark.parametrize(
    ("right", "wrong", "test", "told"),
    [
        (
            '"optimizer": optimizer}', "}",
            "killed_at_random", "section='model'",
        ),
        (
            'metadata={"help": text, **more}', "metadata=more",
            "explains_itself", "first extra item: 'epochs'",
        ),
        (
            r"body.\1", r"bodies.\1",
            "migrators", "none of the 6 names is meant",
        ),
    ],
    ids=["an optimizer left out", "a mute setting", "a wrong migrator"],
)  # fmt: skip
def test_a_trainer_that_breaks_the_contract_fails(source, tmp_path, right, wrong, test, told):
    broken = tmp_path / "broken"
    shutil.copytree(source, broken)
    n_changed = 0
    for path in (broken / "spirals").glob("*.py"):
        text = path.read_text()
        n_changed += text.count(right)
        path.write_text(text.replace(right, wrong))
    assert n_changed > 0, "the example no longer says what this test breaks"
    done = contract(installed(broken, tmp_path / "site"), broken, "-k", test)
    assert done.returncode == 1, done.stdout
    assert told in done.stdout, done.stdout
