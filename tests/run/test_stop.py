"""Reasons to stop are noted at once and acted upon at a save point."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from ckptkit.run.stop import REQUEUE_EXIT_CODE, StopWatcher
from ckptkit.run.tell import say_at_once, to_stderr


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


ANSWERS = {
    signal.SIGINT: b"ckptkit: SIGINT: the step is being finished; a second one leaves at once\n",
    signal.SIGTERM: b"ckptkit: SIGTERM: the step is being finished; SIGINT leaves at once\n",
}


@pytest.mark.parametrize("number", ANSWERS)
def test_the_first_signal_is_answered_before_the_step_is_over_and_only_the_first(number):
    said = []
    watcher = StopWatcher(say=said.append)
    watcher.listen()
    try:
        os.kill(os.getpid(), number)
        assert said == [ANSWERS[number]]  # no save point was reached
        os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        watcher.unlisten()
    assert said == [ANSWERS[number]]


def test_what_is_said_at_a_signal_goes_to_stderr_without_python_buffers(capfd):
    say = say_at_once(to_stderr)
    say(b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_who_gets_the_messages_elsewhere_is_told_nothing_in_the_middle_of_a_step():
    assert say_at_once([].append) is None


def test_a_teller_that_writes_to_stderr_as_well_is_answered_at_once(capfd):
    teller = SimpleNamespace(writes_to_stderr=True)
    say_at_once(teller)(b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_a_stderr_that_is_gone_is_no_reason_not_to_stop(monkeypatch):
    ours, theirs = os.pipe()
    monkeypatch.setattr("sys.stderr", SimpleNamespace(fileno=lambda: theirs))
    say = say_at_once(to_stderr)
    os.close(ours)
    os.close(theirs)
    say(b"heard\n")
    monkeypatch.setattr("sys.stderr", None)
    assert say_at_once(to_stderr) is None


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
