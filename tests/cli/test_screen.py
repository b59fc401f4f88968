"""The screen escapes whatever it is handed, and words stay whole on a narrow terminal."""

from __future__ import annotations

import unicodedata

import pytest

from ckptkit.cli import screen
from ckptkit.cli.columns import folded, laid_out, plain_lines
from ckptkit.cli.inspect_view import TensorRow
from ckptkit.cli.render_notices import notice_lines
from ckptkit.cli.render_tensors import render_tensors
from ckptkit.nodes import Storage, TensorNode
from ckptkit.types import DTYPES, Notice
from ckptkit.verbs.inspect import Place

NASTY = "\x1b[2J\u202e\u200b\ud800\x9b31m\r\x07"


def printed(capsys, *parts):
    screen.show(parts)
    return capsys.readouterr().out


def assert_harmless(text):
    acted = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n"]
    assert acted == []
    assert "\\x1b" in text


@pytest.mark.parametrize(
    "part",
    [
        screen.table((NASTY, "b"), [(NASTY, NASTY)], numbers=("b",)),
        screen.table(("a",), [(screen.text(NASTY, (NASTY, "bold")),)]),
        screen.facts([(NASTY, NASTY), ("lines", screen.lines([NASTY, NASTY]))]),
        screen.text(NASTY, (NASTY, "red")),
        screen.lines([NASTY]),
        screen.joined([screen.text(NASTY)]),
        NASTY,
        notice_lines([Notice("info", "code", NASTY, NASTY)]),
    ],
)
def test_no_part_needs_its_renderer_to_escape(capsys, part):
    assert_harmless(printed(capsys, part))


def row(name, numpy_dtype="", n=3):
    tensor = TensorNode(
        dtype=DTYPES["bits8"] if numpy_dtype else DTYPES["float32"], shape=(n,), strides=(1,),
        offset=0, storage=Storage("0", 4 * n, None), numpy_dtype=numpy_dtype,
    )  # fmt: skip
    return TensorRow(NASTY, name, Place(NASTY, (name,), tensor), NASTY)


def test_dtypes_and_ties_from_a_file_are_escaped(capsys):
    assert_harmless(printed(capsys, *render_tensors([row(NASTY, NASTY)], every=False, stats=False)))


def test_a_structured_dtype_does_not_widen_the_table(capsys):
    dtype = str([(f"field{i}", "<f4") for i in range(40)])
    told = printed(capsys, *render_tensors([row("a", dtype)], every=False, stats=False))
    assert "…" in told
    assert dtype not in told


def test_20_000_rows_are_printed_whole(capsys):
    rows = [row(f"n{'x' * (i % 7)}.{i}", n=i % 5 + 1)._replace(tied_to="") for i in range(20_000)]
    told = printed(capsys, *render_tensors(rows, every=True, stats=False))
    assert told.count("\n") > 20_000


@pytest.mark.parametrize(
    ("text", "width", "told"),
    [
        ("one two three", 9, ["one two", "three"]),
        ("model/encoder.layer_norm", 14, ["model/encoder.", "layer_norm"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("漢字漢字", 4, ["漢字", "漢字"]),
        ("a\nb", 5, ["a", "b"]),
        ("weights under model_state", 17, ["weights under", "model_state"]),
    ],
)
def test_words_break_at_spaces_and_names_behind_their_marks(text, width, told):
    assert folded(text, width) == told
    assert [line.plain for line in folded(screen.lines(text.split("\n")), width)] == told


def test_optional_columns_go_before_words_are_broken():
    rows = [("a_rather_long_name.weight", "float32", "1,234", "▁▂▃▄▅▆▇█")]
    block = screen.table(
        ("name", "dtype", "bytes", "histogram"), rows, numbers=("bytes",), optional=("histogram",)
    )
    wide, narrow = list(plain_lines(block, 60)), list(plain_lines(block, 40))
    assert "▁▂▃" in wide[1]
    assert not any("▁" in line for line in narrow)
    assert all(len(line) <= 40 for line in narrow)
    assert [line.plain for line in laid_out(block, 40)] == narrow
