"""What a run says is for people: where nobody can hear it, nothing but the words is lost."""

import io
import os
import signal
import sys
from contextlib import contextmanager

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


NOBODY = pytest.mark.parametrize(
    "stream", [closed, without_reader, lambda: None], ids=["closed", "pipe", "none"]
)


@contextmanager
def said_to(stream):
    """For a while let stderr be one that nobody reads; pytest's own comes back before each test."""
    before, sys.stderr = sys.stderr, stream
    try:
        yield
    finally:
        sys.stderr = before
        if stream is not None and not stream.closed:
            os.close(stream.fileno())


@NOBODY
def test_a_stderr_that_is_gone_fails_nothing(stream):
    with said_to(stream()):
        for _ in range(3):
            to_stderr("one\ntwo")


class Loud(Small):
    def run(self, folder, **options):
        run = super().run(folder, **options)
        run.tell = to_stderr
        return run


@NOBODY
def test_a_signal_saves_and_leaves_with_its_code_though_nobody_reads_what_is_said(tmp_path, stream):
    with pytest.raises(SystemExit) as left, said_to(stream()):
        Loud().train(tmp_path, inside=sending_at(4, signal.SIGTERM))
    assert left.value.code == 143
    assert "interrupted_checkpoint" in names(tmp_path)
