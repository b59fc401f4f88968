"""Which tests are of which plugin: the files named after it in tests/trainers, and what says so.

A test elsewhere says so by ``pytest.mark.of_plugin("restoration")``, or by ``each``. Every other test has to pass
whichever plugin is left out; test_whose.py holds that this map claims no more than it should.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TRAINERS = ROOT / "tests" / "trainers"


def announced() -> frozenset[str]:
    """The entry points of this project, as its toml says and whatever is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return frozenset(project["entry-points"]["ckptkit"])


PLUGINS = announced()


def left_out(told: str) -> frozenset[str]:
    """The plugins that CKPTKIT_DISABLE_PLUGINS leaves out; a misspelt one would prove nothing.

    Nor would ``all``: it leaves out the plugins, too, that tests install for themselves.
    """
    names = frozenset(name.strip() for name in told.split(",") if name.strip())
    if names - PLUGINS:
        raise pytest.UsageError(
            f"CKPTKIT_DISABLE_PLUGINS={told}: expected some of {', '.join(sorted(PLUGINS))}"
        )
    return names


def plugin_of(path: Path) -> str | None:
    """The plugin that all the tests of a file are of."""
    if path.parent != TRAINERS:
        return None
    of = [name for name in PLUGINS if f"{path.stem}_".startswith(f"test_{name}_")]
    return of[0] if of else None


def each(rows: Iterable[Any]) -> list[Any]:
    """The parameters of a test of several trainers: a name, or a row that begins with one."""
    made = [row if isinstance(row, tuple) else (row,) for row in rows]
    return [pytest.param(*row, marks=pytest.mark.of_plugin(row[0])) for row in made]


def plugins_of(item: pytest.Item) -> set[str]:
    """The plugins that a test is of: it is skipped where one of them is left out."""
    marked = {name for mark in item.iter_markers("of_plugin") for name in mark.args}
    return {name for name in (plugin_of(item.path), *marked) if name}
