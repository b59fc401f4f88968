"""A report loses nothing: every name is in its JSON, every kind in its text with its true count."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from ckptkit.report.summary import blocks_of, shown_rows, spread
from ckptkit.report.values import KINDS, ComponentReport, Line, LoadReport, Setting
from ckptkit.types import Coverage

steps = st.one_of(
    st.sampled_from(["0", "1", "2", "11", "07", "w", "attn", "h_1", "\x1b[31m", "\u202e", "層"]),
    st.text(max_size=4),
)
names = st.lists(steps, min_size=1, max_size=4).map(".".join)
made_lines = st.builds(
    Line, st.sampled_from(KINDS), names, st.one_of(st.just(""), names),
    st.sampled_from(["", "[1]", "float32 [2, 3]"]), st.integers(0, 1 << 70),
)  # fmt: skip
values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
                   st.binary(max_size=5), st.lists(st.floats(), max_size=3),
                   st.dictionaries(st.one_of(st.text(max_size=2), st.integers()), st.floats()),
                   st.complex_numbers())  # fmt: skip
settings_ = st.builds(Setting, names, names, values, values, values)
counts = st.integers(0, 10_000)
components = st.builds(
    ComponentReport, name=names, kind=st.sampled_from(["module", "optimizer", "tree"]),
    status=st.sampled_from(["restored", "partly", "fresh", "absent", "refused"]),
    coverage=st.builds(lambda a, b, c, d: Coverage(a, a + b, c, c + d), counts, counts, counts, counts),
    lines=st.lists(made_lines, max_size=60).map(tuple),
    settings=st.lists(settings_, max_size=3).map(tuple),
    faults=st.lists(st.text(max_size=300), max_size=6).map(tuple),
    notes=st.lists(st.text(max_size=30), max_size=6).map(tuple),
)  # fmt: skip
reports = st.builds(
    LoadReport, path=names, dialect=names, schema_version=st.integers(0, 3),
    mode=st.sampled_from(["resume", "fork"]), planned=st.booleans(),
    components=st.lists(components, max_size=5).map(tuple),
    left=st.lists(st.tuples(names, names), max_size=3).map(tuple),
    notes=st.lists(names, max_size=5).map(tuple),
)  # fmt: skip


@given(reports)
def test_every_name_of_every_line_is_in_the_json_and_the_json_is_json(report: LoadReport) -> None:
    parsed = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert [
        [Line(**line) for line in component["lines"]] for component in parsed["components"]
    ] == [[*component.lines] for component in report.components]
    assert [one["faults"] for one in parsed["components"]] == [
        [*one.faults] for one in report.components
    ]


@given(reports)
def test_the_text_names_every_kind_with_its_count_within_its_page(report: LoadReport) -> None:
    text = str(report)
    assert all(char.isprintable() or char == "\n" for char in text)
    unfolded = re.sub(r"\s+", " ", text)
    for component in report.components:
        kinds = [line.kind for line in component.lines]
        for kind in set(kinds):
            assert f"{kinds.count(kind):,} {kind}" in unfolded


@given(components)
def test_rows_stand_for_all_lines_and_for_each_once(component: ComponentReport) -> None:
    for every in (False, True):
        blocks = blocks_of(component, every=every)
        assert sum(block.size for block in blocks) == len(component.lines)
        for block in blocks:
            assert sum(row.size for row in block.rows) == block.size
            assert sum(row.nbytes for row in block.rows) == block.nbytes


@given(components, st.integers(1, 40))
def test_rows_that_are_shown_and_those_that_are_counted_are_all(
    component: ComponentReport, n_lines: int
) -> None:
    for block in blocks_of(component):
        shown, more = shown_rows(block, n_lines)
        assert len(shown) + bool(more) <= max(n_lines, 1)
        told = re.match(r"(?:and )?([\d,]+)", more)
        rest = int(told[1].replace(",", "")) if told else 0
        assert sum(row.size for row in shown) + rest == block.size


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(0, 60))
def test_lines_are_spread_fairly_and_none_is_wasted(sizes: list[int], budget: int) -> None:
    given_lines = spread(sizes, budget)
    assert sum(given_lines) == min(budget, sum(sizes))
    assert all(got <= size for got, size in zip(given_lines, sizes, strict=True))
    hungry = [got for got, size in zip(given_lines, sizes, strict=True) if got < size]
    assert not hungry or max(given_lines) - min(hungry) <= 1
