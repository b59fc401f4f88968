"""docs/mismatches.md is what a run prints, and what the run shows is what we promise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mismatches import table
from tests.mismatches.outcome import outcome_of

PAGE = (Path(__file__).parents[2] / "docs" / "mismatches.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def outcomes():
    return {case.name: outcome_of(case) for case in table.CASES}


def test_the_page_has_every_case_and_there_are_enough():
    assert [row.split(" | ")[0] for _, row in ROWS] == [case.name for case in table.CASES]
    assert len(ROWS) >= 20


@pytest.mark.parametrize("case", table.CASES, ids=lambda case: case.name)
def test_every_cell_is_what_a_run_gives(case, outcomes):
    cells = next(row for _, row in ROWS if row.startswith(f"{case.name} | ")).split(" | ")[1:]
    outcome = outcomes[case.name]
    assert cells[2:] == [table._cell(text) for text in table.our_cells(outcome)]
    if f"torch {table.torch_version()}." in PAGE:  # another torch words its errors otherwise
        assert cells[:2] == [table._cell(text) for text in table.torch_cells(outcome)]


@pytest.mark.parametrize("case", table.CASES, ids=lambda case: case.name)
def test_the_reports_are_those_of_the_run(case, outcomes):
    number = table.CASES.index(case) + 1
    part = "\n".join(table._in_full(number, case, outcomes[case.name])).rstrip()
    assert part in PAGE


@pytest.mark.parametrize("case", table.CASES, ids=lambda case: case.name)
def test_what_should_load_loads_right_and_what_should_not_changes_nothing(case, outcomes):
    last = outcomes[case.name].ours[-1]
    assert last.refused is not case.loads
    if case.loads:
        assert (last.right, last.word) == (last.of, "right")
    else:
        assert last.right == 0


@pytest.mark.parametrize("case", table.CASES, ids=lambda case: case.name)
def test_a_refusal_changes_nothing_and_names_what_would_help(case, outcomes):
    for one in outcomes[case.name].ours:
        if one.refused:
            assert one.said.startswith("refused: nothing was changed")
            assert "what to do:" in one.said or case.loads is False


def test_where_torch_is_silent_and_wrong_we_are_neither(outcomes):
    silent = [o for o in outcomes.values() if not o.strict.refused and o.strict.wrong]
    assert len(silent) >= 2
    assert all(o.ours[-1].right == o.ours[-1].of for o in silent)


def test_no_report_is_longer_than_a_page(outcomes):
    for outcome in outcomes.values():
        for one in outcome.ours:
            assert len(one.said.splitlines()) <= 42
            assert max(map(len, one.said.splitlines())) <= 100
