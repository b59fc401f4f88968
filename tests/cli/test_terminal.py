"""Nothing from a file reaches the terminal raw; pipes, signals and defects end in one way each."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter

import pytest
import torch

from ckptkit.cli.human import count_text, number_text, size_text, sparkline
from ckptkit.cli.safe_text import safe, shortened
from tests.on_terminal import on_terminal
from tests.signals import hear_signals

NASTY = ["\x1b[2J\x1b[31mred", "\u202egpj.exe", "a\nb\rc", "\x9b31m", "[bold red]markup[bold]",
         "\ud800lone", "\u200bzero", "tab\there", ":boom:", "\x00"]  # fmt: skip


@pytest.fixture
def nasty(tmp_path):
    """A checkpoint whose every string is an attack on a terminal."""
    state = {f"{text}{i}": torch.zeros(2) for i, text in enumerate(NASTY)}
    state["config"] = {text: text for text in NASTY if text != "\ud800lone"}
    path = tmp_path / "nasty\x1b[31m.pt"
    with path.open("wb") as file:  # by its name torch would call the entries after the file
        torch.save(state, file)
    return path


def assert_harmless(text):
    assert [char for char in text if not char.isprintable() and char != "\n"] == []


@pytest.mark.parametrize(
    "words",
    [["inspect"], ["inspect", "--tensors", "*"], ["inspect", "--tree"], ["inspect", "--stats"],
     ["scan", "--all"], ["verify", "--all"], ["migrate", "--dry-run", "--every"], ["list"],
     ["inspect", "--json", "--tree"], ["migrate", "--dry-run", "--json"]],
)  # fmt: skip
def test_names_from_a_file_are_escaped_everywhere(call, nasty, words):
    result = call(*words, nasty)
    assert result.exit_code == 0, result.output
    assert_harmless(result.stdout)


def test_markup_in_a_name_is_shown_not_obeyed(call, nasty):
    assert "[bold red]markup[bold]" in call("inspect", "--tensors", "*markup*", nasty).stdout


def test_an_error_about_a_nasty_path_is_escaped_too(call, tmp_path):
    result = call("inspect", f"{tmp_path}/no\x1b[2J\nsuch\u202e.pt")
    assert result.exit_code == 3
    assert_harmless(result.stderr)
    assert result.stderr.count("\n") == 1


def test_a_pipe_gets_whole_names_and_no_colour(spawn, tmp_path):
    long = ".".join(["block"] * 60)
    torch.save({long: torch.zeros(1)}, tmp_path / "long.pt")
    ended = spawn("inspect", "--tensors", "*", tmp_path / "long.pt", COLUMNS="40")
    assert long in ended.out
    assert "\x1b" not in ended.out
    assert not [line for line in ended.out.splitlines() if line != line.rstrip()]


def shown_on_terminal(*words, **env):
    """Run a command with a terminal of 100 columns as its output."""
    code, shown = on_terminal(
        [sys.executable, "-m", "ckptkit.cli.main", *words], stdin=None,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"} | env,
    )  # fmt: skip
    assert code == 0, shown
    return shown


def test_a_terminal_gets_colour_unless_no_color_is_set(zoo):
    assert "\x1b[" in shown_on_terminal("inspect", zoo / "training.pt")
    plain = re.sub(
        r"\x1b\[[012]m", "", shown_on_terminal("inspect", zoo / "training.pt", NO_COLOR="1")
    )
    assert "\x1b[3" not in plain


def test_a_terminal_is_never_overrun(zoo):
    for words in (["inspect"], ["inspect", "--stats"], ["inspect", "--tree"], ["list"]):
        target = zoo if words == ["list"] else zoo / "views.pt"
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown_on_terminal(*words, target))
        assert max(len(line.rstrip()) for line in text.splitlines()) <= 100


def test_json_is_one_ascii_object_and_nothing_else(spawn, zoo):
    for words in (["inspect", zoo / "training.pt"], ["list", zoo], ["scan", zoo / "evil.pt"],
                  ["verify", zoo / "sealed"], ["plugins"], ["inspect", zoo / "cut.pt"],
                  ["migrate", "--dry-run", zoo / "training.pt", zoo / "nowhere"]):  # fmt: skip
        ended = spawn(*words, "--json")
        assert ended.out.isascii()
        assert isinstance(json.loads(ended.out), dict)


def test_usage_errors_are_json_too(spawn):
    ended = spawn("inspect", "--json", "--nonsense")
    assert ended.code == 2
    assert json.loads(ended.out)["error"]["kind"] == "Usage"
    assert "Usage: ckptkit inspect" in ended.err


def test_a_reader_that_goes_away_is_no_error(zoo):
    process = subprocess.Popen(
        [sys.executable, "-m", "ckptkit.cli.main", "inspect", "--tensors", "*", "--every",
         str(zoo / "training.pt")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


def test_ctrl_c_ends_with_130_and_without_a_traceback():
    code = (
        "import os, signal, ckptkit.cli.main as m, ckptkit.hooks.manager as h\n"
        "h.plugin_table = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "m.app.main(['plugins'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False,
        preexec_fn=hear_signals,
    )  # fmt: skip
    # the line that ^C was printed on ends first
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"\ninterrupted\n")
    assert signal.SIGINT == 2


@pytest.fixture
def defect(monkeypatch):
    """Break a verb in a way that nobody foresaw."""

    def broken(*_words, **_named):
        raise ValueError("one\ntwo \x1b[2J")

    monkeypatch.setattr("ckptkit.verbs.scan.scan", broken)


def test_a_defect_is_one_paragraph_with_its_type_and_place(call, zoo, defect):
    result = call("scan", zoo / "training.pt")
    assert result.exit_code == 70
    assert result.stderr.startswith("error: ckptkit.cli.scan, line ")
    assert "ValueError: one two" in result.stderr
    assert "please report" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr
    found = json.loads(call("scan", "--json", zoo / "training.pt").stdout)
    assert found["error"]["kind"] == "Defect"


def test_a_traceback_only_on_request(call, zoo, defect, monkeypatch):
    monkeypatch.setenv("CKPTKIT_DEBUG", "1")
    assert "Traceback" in call("scan", zoo / "training.pt").stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(spawn, shell):
    ended = spawn(_CKPTKIT_COMPLETE=f"{shell}_source")
    assert ended.code == 0
    assert "_CKPTKIT_COMPLETE" in ended.out


def test_completion_knows_commands_and_options(spawn):
    ended = spawn(_CKPTKIT_COMPLETE="bash_complete", COMP_WORDS="ckptkit in", COMP_CWORD="1")
    assert "inspect" in ended.out
    ended = spawn(
        _CKPTKIT_COMPLETE="bash_complete", COMP_WORDS="ckptkit inspect --te", COMP_CWORD="2"
    )
    assert "--tensors" in ended.out


@pytest.mark.parametrize(
    ("words", "told"), [("--dialect te", "text2sign"), ("--section op", "optimizer")]
)
def test_completion_knows_dialects_and_sections(spawn, words, told):
    line = f"ckptkit inspect {words}"
    ended = spawn(_CKPTKIT_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD="3")
    assert told in ended.out


def test_the_bare_command_is_its_help(call):
    assert call().exit_code == 0
    assert call().stdout == call("--help").stdout


def test_a_misspelt_command_is_answered_with_the_nearest(call):
    result = call("insepct")
    assert result.exit_code == 2
    assert "did you mean inspect?" in result.stderr
    assert "scan" in call("zzz").stderr


def test_what_is_required_is_said_to_be(call):
    assert "[OPTIONS] PATH\n" in call("inspect", "--help").stdout


def test_help_and_version(call):
    text = call("--help").stdout
    for name in ("inspect", "list", "scan", "verify", "migrate", "plugins"):
        assert name in text
        assert call(name, "--help").exit_code == 0
    assert re.fullmatch(r"ckptkit, version \d+\.\d+\.\d+.*\n", call("--version").stdout)


def test_the_line_in_the_help_is_that_of_the_command(call):
    from ckptkit.cli.main import COMMANDS, app

    for name, (_, line) in COMMANDS.items():
        assert app.get_command(None, name).get_short_help_str(200) == line


def test_safe_text():
    assert safe("plain é 漢") == "plain é 漢"
    assert safe("a\x1b\n\u202e\ud800\U000e0001") == "a\\x1b\\n\\u202e\\ud800\\U000e0001"
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert shortened("abc", 5) == "abc"


def test_sizes_counts_and_sparklines():
    told = [size_text(n) for n in (0, 999, 1000, 4_210_000, 999_499, 999_500, 12_345_678, 10**18)]
    assert told == ["0 B", "999 B", "1.00 kB", "4.21 MB", "999 kB", "1.00 MB", "12.3 MB", "1000 PB"]
    assert size_text(10**400) == "1.00e+385 PB"
    assert [number_text(n) for n in (12, -(10**400), 0.12345)] == ["12", "-1.00e+400", "0.1235"]
    assert number_text(10**6000 - 1).endswith(("e+5999", "e+6000"))
    assert (count_text(1, "tensor"), count_text(1024, "tensor")) == ("1 tensor", "1,024 tensors")
    assert sparkline((0, 1, 1000)) == " ▁█"
    assert sparkline((0, 0)) == ""


@pytest.mark.parametrize("width", ["40", "60", "71", "80", "140"])
def test_no_word_is_lost_on_a_narrow_terminal(zoo, width):
    """Nor anything else, but for the columns that may be left out."""
    optional = set("histogram values files ▁▂▃▄▅▆▇█ 0123456789")

    def letters(text):
        return Counter(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\s", "", text))

    for words in (
        ["inspect", "--stats"],
        ["inspect", "--tensors", "*"],
        ["inspect"],
        ["scan", "--all"],
    ):
        wide = shown_on_terminal(*words, zoo / "views.pt", COLUMNS="1000")
        narrow = letters(shown_on_terminal(*words, zoo / "views.pt", COLUMNS=width))
        assert not narrow - letters(wide)
        assert set(letters(wide) - narrow) <= (set() if width == "140" else optional)
