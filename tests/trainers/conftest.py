"""Where the tests of the trainers compute: in one thread, and those of one trainer in one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.whose import plugins_of

HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """So small models are slowed down by more threads, on a busy machine many times over."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A trainer's libraries are imported, and what its tests share is made, once and not twice."""
    for item in items:
        whose = plugins_of(item) if item.path.parent == HERE else set()
        if len(whose) == 1:
            item.add_marker(pytest.mark.xdist_group(f"trainer {whose.pop()}"))
