"""The report of a migration counts every key exactly once, and its lines are true."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ckptkit.cli.moved import Moved, summarise_moves

word = st.sampled_from(["a", "b", "module", "layers", "0", "1", "weight"])
name = st.lists(word, min_size=1, max_size=4).map("/".join)


@given(st.lists(st.tuples(name, name), max_size=40))
def test_every_key_is_counted_once_and_every_star_stands_for_one_text(pairs):
    rows = [Moved(source, target, 1, 10) for source, target in pairs]
    told = summarise_moves(rows)
    assert sum(row.leaves for row in told) == len(rows)
    assert sum(row.nbytes for row in told) == 10 * len(rows)
    for source, target in pairs:
        assert any(
            (row.source, row.target) == (source, target)
            or (
                row.source.endswith("*")
                and source.startswith(row.source[:-1])
                and target == row.target[:-1] + source[len(row.source) - 1 :]
            )
            for row in told
        )


def test_a_stripped_prefix_is_one_line():
    rows = [
        Moved(f"model_state_dict/module.l.{i}.weight", f"model/l.{i}.weight", 1, 4)
        for i in range(9)
    ]
    told = summarise_moves([*rows, Moved("epoch", "progress/as_stored/epoch", 1, 0)])
    assert told == [
        Moved("model_state_dict/module.l.*", "model/l.*", 9, 36),
        Moved("epoch", "progress/as_stored/epoch", 1, 0),
    ]


def test_every_top_level_key_is_seen_with_its_section():
    rows = [
        Moved(f"{top}/k{i}", f"{top}/k{i}", 1, 4) for top in ("config", "data") for i in range(9)
    ]
    rows += [Moved(f"odd{i}", f"extra/odd{i}", 1, 0) for i in range(9)]
    rows += [Moved(f"more/{i}", f"extra/more/{i}", 1, 0) for i in range(9)]
    told = summarise_moves(rows)
    assert [(row.source, row.target) for row in told] == [
        ("config/*", "config/*"),
        ("data/*", "data/*"),
        *((f"odd{i}", f"extra/odd{i}") for i in range(9)),
        ("more/*", "extra/more/*"),
    ]


def test_bare_weights_are_one_line():
    rows = [Moved(f"l.{i}.w", f"model/l.{i}.w", 1, 4) for i in range(500)]
    assert summarise_moves(rows) == [Moved("l.*", "model/l.*", 500, 2000)]


def test_an_escaped_slash_is_no_level():
    rows = [Moved(f"a\\/{i}", f"extra/a\\/{i}", 1, 4) for i in range(9)]
    assert summarise_moves(rows) == rows


def test_every_key_by_name_on_request():
    rows = [Moved(f"a/{i}", f"b/{i}", 1, 4) for i in range(9)]
    assert summarise_moves(rows, every=True) == rows
