"""Imports point down only, and heavy libraries stay where they belong."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    "ckptkit": ROOT,
    "ckptkit_trainers": ROOT / "trainers",
    "ckptkit_plugins": ROOT / "plugins",
}

#: Rank of each room; a module may import rooms of a lower rank, and its own.
RANKS = {
    "ckptkit.version": 0, "ckptkit.types": 0, "ckptkit.errors": 0, "ckptkit.wrappers": 0,
    "ckptkit.nodes": 1, "ckptkit.protocols": 2,
    "ckptkit.danger_data_classes": 0, "ckptkit.danger_names": 1, "ckptkit.danger": 3,
    "ckptkit.tree": 4, "ckptkit.schema": 5, "ckptkit.dialects": 5,
    "ckptkit.containers": 5, "ckptkit.storage": 5,
    "ckptkit.match": 5, "ckptkit.report": 5, "ckptkit.torch_bridge": 5, "ckptkit.algebra": 6,
    "ckptkit.hooks": 6, "ckptkit.plugin": 7, "ckptkit.verbs": 7,
    "ckptkit.run": 8, "ckptkit.training": 9, "ckptkit": 10, "ckptkit.cli": 11,
    "ckptkit.testing": 11, "ckptkit.__main__": 12, "ckptkit_trainers": 12, "ckptkit_plugins": 13,
}  # fmt: skip

#: Who alone may import a library.
HOMES = {
    "torch": ("ckptkit.torch_bridge", "ckptkit.run", "ckptkit.testing", "ckptkit_trainers"),
    "click": ("ckptkit.cli",),
    "rich": ("ckptkit.cli", "ckptkit_trainers"),
    "matplotlib": ("ckptkit.run", "ckptkit_trainers"),
    "pluggy": ("ckptkit.hooks",),
    # --stats is faster with numpy where it is installed, and exact without it
    "numpy": (
        "ckptkit.verbs.number_formats",
        "ckptkit.verbs.diffing",
        "ckptkit.run",
        "ckptkit.testing",
        "ckptkit_trainers",
    ),
    "hypothesis": ("ckptkit.testing",),
    "xxhash": ("ckptkit.storage", "ckptkit.schema"),
    "msgpack": ("ckptkit.schema",),
    "mmap": (),
    "pickle": ("ckptkit.testing",),
    "zipfile": (),
    "tarfile": (),
}


def module_files():
    for package, base in SOURCES.items():
        for path in sorted((base / package).rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(module_files())


def imports_of(path, module):
    """Absolute names of everything a file imports, wherever the statement stands."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            if base not in SOURCES:  # of `from ckptkit import errors` only ckptkit.errors counts
                yield base
            yield from (
                f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" in MODULES
            )


def room_of(module):
    parts = module.split(".")
    for length in range(min(len(parts), 2), 0, -1):
        if (name := ".".join(parts[:length])) in RANKS:
            return name
    return None


def test_every_module_has_a_room():
    assert {
        m for m in MODULES if room_of(m) is None or (room_of(m) == "ckptkit" and m != "ckptkit")
    } == set()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module):
    room = room_of(module)
    upward = [
        name
        for name in imports_of(MODULES[module], module)
        if (other := room_of(name))
        and other != room
        and RANKS[other] >= RANKS[room]
        # the lazy public face is what trainers and plugins see, not a room of its own
        and not (
            name == "ckptkit" and room in ("ckptkit.cli", "ckptkit_trainers", "ckptkit_plugins")
        )
    ]
    assert upward == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_libraries_stay_at_home(module):
    strangers = [
        name
        for name in imports_of(MODULES[module], module)
        if (homes := HOMES.get(name.partition(".")[0])) is not None
        and not any(module == home or module.startswith(home + ".") for home in homes)
    ]
    assert strangers == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_fsync_and_rename_live_in_storage(module):
    if module.startswith(("ckptkit.storage", "ckptkit.testing")):
        return
    calls = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert calls & {"os.fsync", "os.replace", "os.rename", "os.link"} == set()


@pytest.mark.parametrize("module", sorted(m for m in MODULES if not m.startswith(("ckptkit.cli",))))
def test_nothing_below_the_command_line_prints(module):
    calls = [
        node.func.id
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    assert "print" not in calls
    assert "eval" not in calls
    assert "exec" not in calls
    assert "__import__" not in calls


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_file_holds_one_idea(module):
    # errors.py is one tree, drawn whole in its docstring: two files would hide half of it.
    limit = 400 if module == "ckptkit.errors" else 300
    assert len(MODULES[module].read_text().splitlines()) <= limit, "STYLE.md stops at 300 lines"


def test_the_interpreter_is_one_that_we_promise():
    assert sys.version_info >= (3, 11)
