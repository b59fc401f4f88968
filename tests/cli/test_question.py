"""Ctrl+C on a terminal where ``train`` asks whether to go on: it leaves, and nothing has changed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.fake_trainer import write_plugin
from tests.signals import hear_signals

ROOT = Path(__file__).parents[2]


def on_own_terminal(words, place, site, *, typed, when):
    """Run a command on a terminal that it controls, so that what is typed may be a signal."""
    ours, theirs = pty.openpty()

    def begin():
        hear_signals()
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "ckptkit.cli.main", *words], stdin=theirs, stdout=theirs,
        stderr=theirs, cwd=place, preexec_fn=begin,  # noqa: PLW1509  no threads here
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(site)))},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            part = os.read(ours, 4096)
        except OSError:  # its end is closed
            break
        said += part
        if typed and when in said:
            os.write(ours, typed)
            typed = b""
    os.close(ours)  # where it says nothing more, this hangs it up
    return process.wait(60), said.decode().replace("\r\n", "\n")


def contents(folder):
    """Every file with its bytes, and when it was changed."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("typed", [b"\x03", b"maybe\n\x03"], ids=["at once", "after nonsense"])
def test_ctrl_c_at_the_question_leaves_with_130_and_changes_nothing(tmp_path, typed):
    site = write_plugin(tmp_path / "site", real=True)
    place = tmp_path / "place"
    place.mkdir()
    words = ["train", "tiny", "--epochs", "1"]
    code, said = on_own_terminal(words, place, site, typed=b"", when=b"")
    assert code == 0, said
    before = contents(place)
    code, said = on_own_terminal(words, place, site, typed=typed, when=b"[y/N]: ")
    assert "Resume from it? [y/N]: " in said
    assert (code, said.splitlines()[-1]) == (130, "interrupted")
    assert "Traceback" not in said
    assert contents(place) == before
