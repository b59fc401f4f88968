"""examples/evolution runs from end to end; what it claims, it asserts itself."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
EXAMPLE = Path(__file__).parents[2] / "examples" / "evolution"


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_every_checkpoint_of_every_generation_restores_migrates_and_comes_back(tmp_path):
    done = run("-W", "error", EXAMPLE / "run.py", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("every checkpoint of every generation")
    made = sorted(path.name for path in tmp_path.iterdir())
    assert {f"generation_{n}_newest" for n in (1, 2, 3)} <= {*made}

    # the command of its README, on what the run left behind
    text = (EXAMPLE / "README.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("$ ckptkit"))
    words = shlex.split(line[2:])
    words[words.index("gpt.py:generation_2")] = f"{EXAMPLE}/gpt.py:generation_2"
    written = run("-m", *words, cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    finished = (EXAMPLE / "migrators" / "from_1.py").read_text()
    rename = next(line for line in finished.splitlines() if "Rename({" in line)
    assert rename in (tmp_path / "from_1.py").read_text()
