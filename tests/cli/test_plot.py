"""``ckptkit plot``: curves in a terminal or a file, of any run, without touching it."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest

from ckptkit.cli.canvas import Canvas, Pen
from ckptkit.cli.ticks import labels, log_ticks, ticks
from tests.cli.test_startup import imported
from tests.cli.test_terminal import shown_on_terminal

EVENTS = [
    {"kind": "resumed", "epoch": 10, "step": 100},
    {"kind": "interrupted", "epoch": 20, "step": 200, "detail": "SIGTERM"},
    {"kind": "out of memory", "epoch": 25, "step": 250},
]


def make(folder, n_rows=40, **columns):
    (folder / "checkpoints").mkdir(parents=True)
    epochs = list(range(1, n_rows + 1))
    columns = columns or {"loss": [1 / n for n in epochs], "val_loss": [2 / n for n in epochs]}
    text = json.dumps(
        {"epoch": epochs, "step": [10 * n for n in epochs], **columns, "events": EVENTS}
    )
    (folder / "history.json").write_text(text)
    return folder


@pytest.fixture
def run(tmp_path):
    return make(tmp_path / "demo" / "20260101_000000_v1")


def plotted(call, *words):
    result = call("plot", "--json", *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_text_has_axes_a_legend_and_what_every_mark_means(call, run):
    text = call("plot", run).stdout
    assert text.startswith("demo/20260101_000000_v1\n")
    assert re.search(r"loss +\* loss +o val_loss", text)
    assert "best val_loss 0.05, epoch 40" in text
    assert "resumed (2 times)" not in text
    for sign, words in (("┊", "resumed"), ("╎", "interrupted (SIGTERM)"), ("┃", "emergency")):
        assert f"{sign} {words}" in text
        assert text.count(sign) > 5
    assert re.search(r"^ +5 +10 +15 +20", text, re.MULTILINE)
    assert re.search(r"^ +epoch$", text, re.MULTILINE)


@pytest.mark.parametrize("width", [45, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(spawn, run, width):
    ended = spawn("plot", run, run, "--height", 6, COLUMNS=str(width))
    assert ended.code == 0
    long = [line for line in ended.out.splitlines() if len(line) > width]
    assert [line for line in long if "20260101" not in line] == []


def test_a_resume_in_the_column_of_the_interruption_shows_both(call, tmp_path, monkeypatch):
    at = [{"kind": kind, "epoch": 20, "step": 200} for kind in ("interrupted", "resumed")]
    monkeypatch.setattr(sys.modules[__name__], "EVENTS", at)
    text = call("plot", make(tmp_path / "r"), "--metric", "loss").stdout
    assert text.count("┊") > 5
    assert text.count("╎") > 5


def test_of_several_runs_it_says_to_which_it_happened(call, run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "EVENTS", [])
    calm = make(tmp_path / "calm" / "20260101_000000_v1")
    text = call("plot", run, calm).stdout
    assert "resumed (demo)" in text
    assert "emergency (demo)" in text


def test_the_best_stands_in_the_row_of_its_curve():
    for height in (4, 7, 14, 30):
        for share in (0.0, 0.1, 0.37, 0.5, 0.81, 1.0):
            dots, star = Canvas(4, height), Canvas(4, height)
            dots.line((0.5, share), (0.5, share), Pen("red"))
            star.letter((0.5, share), "*", "")
            rows = [["".join(text for text, _ in row).strip() for row in c.rows()] for c in (dots, star)]  # fmt: skip
            assert [bool(one) for one in rows[0]] == [bool(one) for one in rows[1]]


def test_a_title_is_not_wider_than_the_terminal(call, tmp_path):
    name = "a_metric_of_a_framework/" + "and_on_" * 30
    text = call("plot", make(tmp_path / "r", **{name: [0.5] * 40})).stdout
    assert max(len(line) for line in text.splitlines()[1:]) <= 80
    assert "a_metric_of_a_framework/" in text


def test_a_terminal_gets_colours_and_braille_and_a_pipe_letters(run):
    shown = shown_on_terminal("plot", run, NO_COLOR="")
    assert "\x1b[38" in shown
    assert re.search("[\u2801-\u28ff]", shown)
    plain = shown_on_terminal("plot", run, NO_COLOR="1")
    assert "o val_loss" in plain
    assert "\x1b[38" not in plain


def test_an_encoding_without_braille_gets_plain_characters(spawn, run):
    ended = spawn("plot", run, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert ended.code == 0
    assert ended.out.isascii()
    assert "\\u" not in ended.out
    assert "B best val_loss" in ended.out


def test_one_curve_is_braille_in_a_pipe_too(call, tmp_path):
    text = call("plot", make(tmp_path / "r", 5, loss=[1, 2, 3, 2, 1])).stdout
    assert re.search("[\u2801-\u28ff]", text)


def test_one_row_is_a_point(call, tmp_path):
    make(tmp_path / "r", 1, loss=[0.5])
    text = call("plot", tmp_path / "r", "--metric", "loss").stdout
    assert len(re.findall("[\u2801-\u28ff]", text)) == 1


@pytest.mark.parametrize("name", ["curves.png", "curves.svg", "curves.PDF"])
def test_out_writes_that_file_and_nothing_else_changes(call, run, tmp_path, name):
    before = sorted(path for path in run.rglob("*"))
    result = call("plot", run, "--out", tmp_path / name)
    assert result.exit_code == 0, result.output
    assert (tmp_path / name).stat().st_size > 1000
    assert name in result.stdout
    assert "2 metrics over the epochs" in result.stdout
    assert sorted(path for path in run.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--out", "curves.gif"], 2, ".png"),
        (["--out", "curves"], 2, ".png"),
        (["--out", ""], 2, "empty"),
        (["--metric", "dice"], 3, "val_loss"),
        (["--x", "time"], 2, "time"),
        (["--smooth", "1"], 2, "1"),
        (["--smooth", "-0.1"], 2, "0.1"),
        (["--smooth", "nan"], 2, "nan"),
        (["--height", "1"], 2, "1"),
        (["--out", "no/such/folder/a.png"], 3, "no/such"),
    ],
)
def test_what_makes_no_sense_is_said(call, run, words, code, said):
    result = call("plot", run, *words)
    assert result.exit_code == code, result.output
    assert said in result.stderr


@pytest.mark.parametrize("json_too", [True, False])
def test_what_is_no_run_is_said(call, tmp_path, json_too):
    words = ["--json"] if json_too else []
    assert call("plot", tmp_path / "nowhere", *words).exit_code == 3
    (tmp_path / "empty").mkdir()
    result = call("plot", tmp_path / "empty", *words)
    assert result.exit_code == 10
    if json_too:
        assert json.loads(result.stdout)["error"]["kind"] == "NoCheckpoint"
    assert call("plot", *words).exit_code == 2


def test_a_run_that_logged_nothing_is_said(call, tmp_path):
    (tmp_path / "r" / "checkpoints").mkdir(parents=True)
    result = call("plot", tmp_path / "r")
    assert result.exit_code == 3
    assert "no number that could be drawn" in result.stderr


def test_a_damaged_history_is_a_note_and_no_defect(call, run):
    (run / "history.json").write_bytes(b"[" * 100_000)
    result = call("plot", run)
    assert result.exit_code == 3
    assert "defect" not in result.stderr


def test_json_has_the_points_the_marks_and_the_best(call, run, tmp_path):
    other = make(tmp_path / "other", 3, loss=[3.0, float("nan"), 1.0])
    found = plotted(call, run, other, "--metric", "loss")
    assert found["x"] == "epoch"
    assert [one["rows"] for one in found["runs"]] == [40, 3]
    assert [mark["kind"] for mark in found["runs"][0]["marks"]] == [
        "resumed",
        "interrupted",
        "emergency",
    ]
    assert found["runs"][0]["best"]["epoch"] == 40
    (panel,) = found["panels"]
    assert panel["curves"][1]["y"] == [3.0, "nan", 1.0]
    assert panel["curves"][0]["x"][:3] == [1, 2, 3]
    assert (found["out"], found["nbytes"]) == (None, None)


def test_json_tells_the_file_that_was_written(call, run, tmp_path):
    found = plotted(call, run, "--out", tmp_path / "a.png")
    assert found["nbytes"] == (tmp_path / "a.png").stat().st_size


def test_the_options_reach_the_curves(call, run):
    smooth = plotted(call, run, "--smooth", 0.9)["panels"][0]["curves"][0]["y"]
    raw = plotted(call, run)["panels"][0]["curves"][0]["y"]
    assert smooth[0] == pytest.approx(raw[0])
    assert smooth[-1] > raw[-1]
    assert plotted(call, run, "--x", "step")["panels"][0]["curves"][0]["x"][:2] == [10, 20]
    assert plotted(call, run, "--log")["panels"][0]["log"] is True
    metrics = [
        c["metric"] for p in plotted(call, run, "--metric", "val_*")["panels"] for c in p["curves"]
    ]
    assert metrics == ["val_loss"]


def test_the_height_is_the_number_of_rows(call, run):
    rows = [
        line
        for line in call("plot", run, "--height", 9).stdout.splitlines()
        if re.search("[│┤]", line)
    ]
    assert len(rows) == 9


def test_many_metrics_are_named_and_drawn_only_when_asked_for(call, tmp_path):
    run = make(tmp_path / "r", 2, **{f"m{n}": [1, 2] for n in range(7)})
    text = call("plot", run).stdout
    assert "not drawn: m4, m5, m6" in text
    assert "not drawn" not in call("plot", run, "--metric", "m*").stdout


def test_names_of_a_history_cannot_act_on_the_terminal(call, tmp_path):
    evil = "\x1b[2J[bold]\u202e"
    run = make(tmp_path / f"r{evil}", 2, **{evil: [1, 2], f"val_{evil}": [1, 2]})
    text = call("plot", run).stdout
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
    assert "[bold]" in text


def test_without_matplotlib_the_text_works_and_a_file_is_refused_with_advice(
    call, run, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert call("plot", run).exit_code == 0
    result = call("plot", run, "--out", tmp_path / "a.png")
    assert result.exit_code == 51
    assert "ckptkit[plot]" in result.stderr
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("words", [["plot"], ["prune", "--dry-run", "--keep-last", "1"]])
def test_neither_imports_torch_or_a_library_for_drawing(zoo, words):
    target = os.path.join(os.path.dirname(__file__), "..", "run", "by_hand")
    modules = imported(*words, "--json", target if words == ["plot"] else zoo)
    assert not modules & {"torch", "numpy", "matplotlib", "rich"}


# -- the parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0, 1, 5, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (1, 35, 4, ["10", "20", "30"]),
        (0.2417, 0.66, 6, ["0.3", "0.4", "0.5", "0.6"]),
        (1e-5, 9e-5, 3, ["5e-5"]),
        (-1e9, 1e9, 4, ["-1e9", "-5e8", "0", "5e8", "1e9"]),
        (5, 5, 3, ["5"]),
    ],
)
def test_ticks_are_round_and_their_labels_short(low, high, count, expected):
    assert labels(ticks(low, high, count)) == expected


def test_ticks_of_a_logarithmic_axis_are_decades_or_their_halves():
    assert log_ticks(1e-4, 10, 6) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1, 10])
    assert log_ticks(0.11, 0.9, 6) == pytest.approx([0.2, 0.5])
    assert len(log_ticks(1e-300, 1e300, 6)) <= 8


@pytest.mark.parametrize(("low", "high"), [(-1.7e308, 1.7e308), (0, 5e-324), (1e308, 1.0001e308)])
def test_the_extremes_of_floats_have_ticks(low, high):
    assert len(labels(ticks(low, high, 5))) < 20


def test_a_line_of_dots_and_one_of_letters():
    dots, letters = Canvas(2, 1), Canvas(3, 3)
    dots.line((0, 0), (1, 1), Pen("red"))
    assert list(dots.rows()) == [[("⡠⠊", "red")]]
    letters.line((0, 0), (1, 1), Pen("", "x"))
    assert ["".join(text for text, _ in row) for row in letters.rows()] == ["  x", " x ", "x  "]


def test_an_upright_line_stands_behind_everything():
    canvas = Canvas(1, 2)
    canvas.line((0, 1), (0, 1), Pen("", "x"))
    canvas.upright(0, [("|", "")])
    assert ["".join(text for text, _ in row) for row in canvas.rows()] == ["x", "|"]
