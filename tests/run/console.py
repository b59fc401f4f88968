"""Play the console blocks of docs/resume.md, and say what they print."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from ckptkit.storage.lock import FolderLock
from tests.on_terminal import on_terminal
from tests.run.test_recovery import damage

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^(?:<!-- (.*?) -->\n)?```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """Commands with their output.

    ``scene``: words such as "demo", "fault=oom@10", "held", "answer=y" on a terminal.
    """

    scene: str
    text: str

    @property
    def commands(self):
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(text):
    return [Block(scene or "", body) for scene, body in BLOCK.findall(text)]


def _with_links():
    """Return what copies a file once, however many names it has in the folder that is copied."""
    copies = {}

    def copy(source, target):
        key = os.stat(source).st_ino
        if key in copies:
            return os.link(copies[key], target)
        copies[key] = target
        return shutil.copy2(source, target)

    return copy


def play(block, place, demo, preloaded):
    """Run a block's commands in ``place``; "demo" begins with a run of three epochs.

    A training that asks nobody is a fork of ``preloaded``; whatever else there is, is started anew.
    """
    shutil.copy(ROOT / "tests" / "run" / "trial.py", place / "train.py")
    words = dict(word.partition("=")[::2] for word in block.scene.split())
    run = None
    if "demo" in words:
        # with its hard links: a plain copy of a run has more copies of a damaged checkpoint
        shutil.copytree(demo, place / "runs" / "demo", copy_function=_with_links())
        (run,) = (place / "runs" / "demo").iterdir()
    if "damaged" in words:
        damage(run / "checkpoints" / words["damaged"])
    lock = FolderLock(run) if "held" in words else None
    try:
        fault, answer = words.get("fault", ""), words.get("answer")
        return "".join(_command(one, place, fault, answer, preloaded) for one in block.commands)
    finally:
        if lock is not None:
            lock.release()


def _command(line, place, fault, answer, preloaded):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRIAL_FAULT": fault, "COLUMNS": "100"}
    shell = re.sub("^python ", f"{sys.executable} ", line)
    shell = re.sub("^ckptkit ", f"{sys.executable} -m ckptkit ", shell)
    code, text = 0, ""
    if answer is not None:
        typed = [f"{answer}\n".encode()]
        _, text = on_terminal(shell.split(), typed, cwd=place, env=environment)
    elif line.startswith("python "):
        words = shlex.split(line)[1:]
        code, text = preloaded.run(words, place / "said.txt", cwd=place, env=environment)
    else:
        done = subprocess.run(
            ["bash", "-c", shell], cwd=place, env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        code, text = done.returncode, done.stdout
    output = re.sub(
        r"^Traceback .*^(?=\S+(Error|Exit|Interrupt)(: |$))", "Traceback ...\n",
        text.replace("\r\n", "\n"), flags=re.MULTILINE | re.DOTALL,
    )  # fmt: skip
    code = 128 - code if code < 0 else code  # as a shell tells who was killed by a signal
    ended = f"[exit code {code}]\n" if code else ""
    return f"$ {line}\n{output}{ended}"


def masked(text):
    """What stays the same from run to run, and from computer to computer."""
    text = re.sub(r"on \S+ holds it since .* UTC", "on HOST holds it since TIME", text)
    text = re.sub(r"python[\d.]*", "python", text)
    text = re.sub(r"\b[0-9a-f]{32}\b", "DIGEST", text)
    text = re.sub(r"\d[\d,._]*", "0", text)
    return re.sub(r"(?<=\S) +", " ", text)  # columns are as wide as their numbers
