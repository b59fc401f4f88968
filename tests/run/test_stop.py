"""Reasons to stop are noted at once and acted upon at a save point."""

import os
import signal
import threading

import pytest

from ckptkit.run.stop import REQUEUE_EXIT_CODE, StopWatcher


@pytest.fixture
def watcher():
    found = StopWatcher()
    found.listen()
    yield found
    found.unlisten()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
def test_a_signal_is_noted_with_the_conventional_code_and_interrupts_nothing(watcher, number, code):
    os.kill(os.getpid(), number)
    assert watcher.save_point() == (number.name, code)


def test_the_first_reason_stays(watcher):
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert watcher.reason.word == "SIGTERM"


def test_a_second_interrupt_leaves_at_once(watcher):
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_after_a_termination_leaves_at_once(watcher):
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_handler_that_was_there_before_is_called_and_put_back():
    heard = []

    def theirs(number, _frame):
        heard.append(number)

    before = signal.signal(signal.SIGTERM, theirs)
    try:
        watcher = StopWatcher()
        watcher.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        watcher.unlisten()
        assert heard == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is theirs
        assert watcher.reason.word == "SIGTERM"
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_hears_nothing_and_breaks_nothing():
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: StopWatcher().listen())
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_time_limit_counts_the_longest_stretch_so_that_the_last_step_ends_before_it():
    now = [0.0]
    watcher = StopWatcher(max_time_s=100, clock=lambda: now[0])
    reasons = []
    for now[0] in (10, 20, 50, 60, 69, 70, 71):
        reasons.append(watcher.save_point())
        if reasons[-1]:
            break
    assert now[0] == 70  # 70 s gone, and a stretch of 30 s may come
    assert reasons[-1] == ("time limit", REQUEUE_EXIT_CODE)
