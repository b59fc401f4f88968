"""Ctrl+C, SIGTERM and SIGHUP end a migration with nothing left behind, and say what stands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from ckptkit.cli.ended import said_if_ended
from ckptkit.cli.failures import explain
from ckptkit.cli.signals import TerminatedError
from ckptkit.storage.leftovers import sibling_name
from ckptkit.training.interrupts import signals_noted
from tests.fake_trainer import write_plugin
from tests.signals import hear_signals

SIGNALS = {
    "SIGINT": (130, "interrupted; nothing was written"),
    "SIGTERM": (143, "terminated: nothing was written"),
    "SIGHUP": (129, "terminated: nothing was written"),
}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A checkpoint that takes some tenths of a second to migrate."""
    path = tmp_path_factory.mktemp("large") / "large.pt"
    torch.save({f"w{i}": torch.zeros(4_000_000) for i in range(16)}, path)
    yield path
    path.unlink()


def stages(folder):
    return [name for name in os.listdir(folder) if ".stage-" in name]


def ended_while_writing(large, folder, number, *words):
    """Migrate, and send the signal as soon as the stage is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ckptkit.cli.main", "migrate", *words, large, folder / "out"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=hear_signals,  # noqa: PLW1509 - it only sets handlers
    )  # fmt: skip
    until = time.monotonic() + 30
    while not stages(folder):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.002)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("name", SIGNALS)
def test_a_migration_that_is_ended_leaves_nothing(large, tmp_path, name):
    code, out, err = ended_while_writing(large, tmp_path, getattr(signal, name))
    assert (code, out, err.strip()) == (SIGNALS[name][0], "", SIGNALS[name][1])
    assert os.listdir(tmp_path) == []


def test_json_says_it_too(large, tmp_path):
    code, out, _ = ended_while_writing(large, tmp_path, signal.SIGTERM, "--json")
    error = json.loads(out)["error"]
    assert (error["kind"], error["exit_code"]) == ("Terminated", code) == ("Terminated", 143)
    assert stages(tmp_path) == []


def test_what_nohup_ignores_stays_ignored(zoo):
    command = [sys.executable, "-c", (
        "import os, signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from ckptkit.cli.signals import end_by_exception\n"
        "end_by_exception()\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "print('alive')"
    )]  # fmt: skip
    assert subprocess.check_output(command, text=True, timeout=60) == "alive\n"


def end_with(exc, target, *, made):
    """Raise as a signal does, before or after the target has its name."""
    with said_if_ended("a.pt", str(target), recursive=False):
        if made:
            target.mkdir()
        raise exc


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize(
    ("kind", "words"), [(KeyboardInterrupt, ()), (TerminatedError, ("SIGTERM", 15))]
)
def test_a_target_that_has_its_name_is_said_to_be_finished(tmp_path, made, kind, words):
    with pytest.raises(kind) as caught:
        end_with(kind(*words), tmp_path / "dst", made=made)
    told = f"{tmp_path / 'dst'} was finished before" if made else "nothing was written"
    assert explain(caught.value).paragraph.endswith(told)


@pytest.mark.parametrize("recursive", [True, False])
def test_a_stage_that_was_made_at_that_moment_goes_too_and_no_other(tmp_path, recursive):
    ours = tmp_path / sibling_name(tmp_path / "dst", "stage")
    moved_aside = tmp_path / sibling_name(tmp_path / "dst", "old")
    other = tmp_path / ".dst.stage-1-1-1463aa93c4fe405e3a8a8e8a-55f18d50"
    for folder in (ours, moved_aside, other):
        folder.mkdir()
    target = str(tmp_path if recursive else tmp_path / "dst")

    def end():
        with said_if_ended("a.pt", target, recursive=recursive):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        end()
    assert sorted(tmp_path.iterdir()) == sorted([moved_aside, other])


# -- while the libraries of a trainer are imported -------------------------------------------------

# What numpy's import makes of a Ctrl+C, and what those do who can do without a library.
IMPORTS = {
    "an error": "raise ImportError('initialization failed')",
    "nothing": "optional = None",
}


@pytest.mark.parametrize("made_of_it", IMPORTS)
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_that_a_library_swallows_while_it_loads_ends_the_command(
    tmp_path, name, code, made_of_it
):
    site = write_plugin(tmp_path / "site")
    (site / "tiny_train.py").write_text(
        f"import signal\n"
        f"try:\n"
        f"    signal.raise_signal(signal.{name})\n"
        f"except BaseException:\n"
        f"    {IMPORTS[made_of_it]}\n"
        f"def train(*_, **__): raise SystemExit(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "ckptkit.cli.main", "train", "tiny"], capture_output=True, text=True,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)}, check=False, timeout=60,
        preexec_fn=hear_signals,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "defect" not in done.stderr


def test_handlers_are_as_before_once_a_module_is_imported():
    before = signal.getsignal(signal.SIGINT)
    with signals_noted() as noted:
        pass
    assert (signal.getsignal(signal.SIGINT), noted) == (before, [])
