"""What a run says is for people: where nobody can hear it, nothing but the words is lost."""

import io
import os
import signal
import sys

import pytest

from ckptkit.run.tell import to_stderr
from tests.run.small import Small, names
from tests.run.test_stopping import sending_at


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def without_reader():
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w", buffering=1, closefd=False)


@pytest.fixture(params=[closed, without_reader, lambda: None], ids=["closed", "pipe", "none"])
def nobody(request, monkeypatch):
    """A stderr that nobody reads."""
    stream = request.param()
    monkeypatch.setattr(sys, "stderr", stream)
    yield
    monkeypatch.undo()
    if stream is not None and not stream.closed:
        os.close(stream.fileno())


@pytest.mark.usefixtures("nobody")
def test_a_stderr_that_is_gone_fails_nothing():
    for _ in range(3):
        to_stderr("one\ntwo")


class Loud(Small):
    def run(self, folder, **options):
        run = super().run(folder, **options)
        run.tell = to_stderr
        return run


@pytest.mark.usefixtures("nobody")
def test_a_signal_saves_and_leaves_with_its_code_though_nobody_reads_what_is_said(tmp_path):
    with pytest.raises(SystemExit) as left:
        Loud().train(tmp_path, inside=sending_at(4, signal.SIGTERM))
    assert left.value.code == 143
    assert "interrupted_checkpoint" in names(tmp_path)
