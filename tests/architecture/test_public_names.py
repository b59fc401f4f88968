"""What `ckptkit` shows is what it promises: `__all__`, the lazy table and the docs agree."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import ckptkit


def names_for_type_checkers():
    """What the TYPE_CHECKING block imports: what editors and mypy believe to be public."""
    tree = ast.parse(Path(ckptkit.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.name: node.module for node in block.body for alias in node.names}


def test_all_equals_the_public_names():
    assert sorted(ckptkit.__all__) == sorted(names_for_type_checkers())
    assert names_for_type_checkers() == ckptkit._HOMES
    assert dir(ckptkit) == sorted(ckptkit.__all__)


def test_a_name_that_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ckptkit.nonsense


def test_every_public_name_exists_and_says_what_it_promises():
    for name in ckptkit.__all__:
        value = getattr(ckptkit, name)
        assert value.__doc__, name


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, ckptkit; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(eval(out.stdout))
    assert not loaded & {"torch", "numpy", "click", "rich", "pluggy", "msgpack", "xxhash"}


def test_the_plugin_module_is_enough_for_a_plugin():
    plugin = importlib.import_module("ckptkit.plugin")
    own = {"annotations", "Any", "TYPE_CHECKING"}
    assert {n for n in vars(plugin) if not n.startswith("_")} - own <= {*plugin.__all__}
    assert [n for n in plugin.__all__ if getattr(plugin, n, None) is None] == []
