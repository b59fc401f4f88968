"""Where a plugin is left out, its own tests are skipped; every other test has to pass: make blocked."""

from __future__ import annotations

import os

import pytest

from ckptkit.hooks import manager
from tests.plugins.whose import left_out, plugins_of

LEFT_OUT = left_out(os.environ.get("CKPTKIT_DISABLE_PLUGINS", ""))


def pytest_configure() -> None:
    """Leave them out of this process too: the command line alone reads the environment."""
    if LEFT_OUT:
        manager.disable(LEFT_OUT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in plugins_of(item) & LEFT_OUT:
            why = f"a test of the plugin {name}, which CKPTKIT_DISABLE_PLUGINS leaves out"
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.hookimpl(trylast=True, specname="pytest_collection_modifyitems")
def pytest_say_groups(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of an xdist_group in one process: pytest-xdist 3.8 says so in a test's id, but
    by a name that pytest 9.2 has no more; without this every group is spread over all processes.
    """
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        groups = sorted({mark.args[0] for mark in item.iter_markers("xdist_group")})
        said = item.nodeid.rfind("@") > item.nodeid.rfind("]")
        if groups and not said and hasattr(item, "_id"):
            item._id = type(item._id).parse(f"{item.nodeid}@{'_'.join(groups)}")
