"""A plugin never takes ckptkit down, and two parts of one name are never chosen between."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from ckptkit.errors import PluginConflictError
from ckptkit.hooks import manager
from ckptkit.hooks.discovery import EntryPoint, find_entry_points
from ckptkit.hooks.manager import Registry

GOOD = """
    from ckptkit.plugin import hookimpl

    class Mine:
        name, title = "{name}", "Mine"
        def recognise(self, view): return None
        def interpret(self, view): raise NotImplementedError

    @hookimpl
    def ckptkit_dialects(): return [Mine()]
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Write a module that can be imported; returns its entry point."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def write(name: str, source: str) -> EntryPoint:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        made.append(name)
        return EntryPoint(name, name, f"dist-{name}", "1.0")

    yield write
    for name in made:
        sys.modules.pop(name, None)


def row(registry: Registry, name: str):
    return next(row for row in registry.plugin_table() if row.name == name)


def test_a_plugin_brings_its_dialect_beside_ours(plugin):
    registry = Registry([plugin("good_a", GOOD.format(name="mine"))])
    names = [dialect.name for dialect in registry.dialects()]
    assert "mine" in names
    assert "bare" in names
    assert row(registry, "good_a")[4:] == ("loaded", (), ("mine",), (), (), "")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named"),
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def (", "SyntaxError"),
        ("from ckptkit.plugin import hookimpl\n@hookimpl\ndef ckptkit_dialects(x): return []", "x"),
        ("from ckptkit.plugin import hookimpl\n@hookimpl\ndef ckptkit_dialects(): 1 / 0",
         "ckptkit_dialects: ZeroDivisionError"),
        ("from ckptkit.plugin import hookimpl\n@hookimpl\ndef ckptkit_dialects(): return 7",
         "ckptkit_dialects: TypeError"),
        ("from ckptkit.plugin import hookimpl\n@hookimpl\ndef ckptkit_dialects(): return [object()]",
         "object lacks name, title, recognise, interpret"),
    ],
)  # fmt: skip
def test_a_broken_plugin_is_left_out_and_its_error_recorded(plugin, source, told):
    registry = Registry([plugin("broken", source), plugin("good_b", GOOD.format(name="other"))])
    assert "other" in [dialect.name for dialect in registry.dialects()]
    broken = row(registry, "broken")
    assert broken.state == "failed"
    assert told in broken.error
    assert broken.distribution == "dist-broken"


def test_two_dialects_of_one_name_are_refused_by_name(plugin):
    points = [plugin("one", GOOD.format(name="same")), plugin("two", GOOD.format(name="same"))]
    registry = Registry(points)
    with pytest.raises(
        PluginConflictError, match=r"plugin two: offers 'same', which one \(dist-one"
    ):
        registry.dialects()
    assert row(registry, "two").state == "failed"  # the table says it without raising


def test_a_plugin_cannot_shadow_a_part_of_ours(plugin):
    registry = Registry([plugin("thief", GOOD.format(name="bare"))])
    with pytest.raises(PluginConflictError, match="builtin"):
        registry.dialects()


def test_one_broken_hook_leaves_the_other_hooks_of_a_plugin(plugin):
    half = GOOD.format(name="half") + "\n    @hookimpl\n    def ckptkit_containers(): 1 / 0\n"
    registry = Registry([plugin("half", half)])
    registry.containers()
    assert "half" in [dialect.name for dialect in registry.dialects()]
    assert "ZeroDivisionError" in row(registry, "half").error


def test_a_disabled_plugin_is_not_even_imported(plugin):
    registry = Registry([plugin("unwanted", "raise RuntimeError")], disabled=["unwanted"])
    assert row(registry, "unwanted").state == "disabled"
    assert "unwanted" not in sys.modules
    everything = Registry([plugin("unwanted", "raise RuntimeError")], disabled=["all"])
    assert row(everything, "unwanted").state == "disabled"
    assert everything.dialects()


def test_the_registry_is_built_anew_only_where_others_are_left_out(monkeypatch):
    for key, value in (("disabled", frozenset()), ("registry", None)):
        monkeypatch.setitem(manager._state, key, value)
    manager.disable(["all"])
    first = manager.registry()
    assert {row.state for row in first.plugin_table()} <= {"builtin", "disabled"}
    manager.disable(["all"])
    assert manager.registry() is first
    manager.disable([])
    assert manager.registry() is not first


def test_two_plugins_may_choose_the_same_short_name(plugin):
    first = plugin("pa", GOOD.format(name="a"))
    second = plugin("pb", GOOD.format(name="b"))._replace(name="pa")
    names = [row.name for row in Registry([first, second]).plugin_table()]
    assert names == ["builtin", "pa", "pa (dist-pb)"]


def test_containers_are_asked_lowest_rank_first():
    ranks = [container.rank for container in manager.containers()]
    assert ranks == sorted(ranks)


def install(folder: Path, name: str, text: str) -> None:
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(text)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")


def test_discovery_agrees_with_importlib_metadata(tmp_path):
    from importlib.metadata import distributions

    install(
        tmp_path, "with_plugin", "[console_scripts]\nx = y:z\n\n[ckptkit]\na = mod.a\nb = mod:b\n"
    )
    install(tmp_path, "without", "[console_scripts]\nckptkit = y:z\n")
    install(tmp_path, "spaced", "[ckptkit]\n# a comment\n  c=mod.c:attr \n[other]\nd = e\n")
    ours = {(point.name, point.value) for point in find_entry_points("ckptkit", [str(tmp_path)])}
    theirs = {
        (point.name, point.value)
        for distribution in distributions(path=[str(tmp_path)])
        for point in distribution.entry_points.select(group="ckptkit")
    }
    assert ours == theirs == {("a", "mod.a"), ("b", "mod:b"), ("c", "mod.c:attr")}


def test_the_first_distribution_of_a_name_on_the_path_wins(tmp_path):
    for folder, value in (("one", "new"), ("two", "old")):
        (tmp_path / folder).mkdir()
        install(tmp_path / folder, "same", f"[ckptkit]\np = {value}\n")
    path = [str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "missing")]
    found = find_entry_points("ckptkit", path)
    assert found == [EntryPoint("p", "new", "same", "1.2")]


def test_plugins_in_a_zip_on_the_path_are_found_too(tmp_path):
    import zipfile

    archive = tmp_path / "plugins.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("zipped-3.0.dist-info/METADATA", "Name: zipped\nVersion: 3.0\n")
        out.writestr("zipped-3.0.dist-info/entry_points.txt", "[ckptkit]\nz = zmod\n")
    assert find_entry_points("ckptkit", [str(archive)]) == [
        EntryPoint("z", "zmod", "zipped", "3.0")
    ]


MIGRATING = """
    from ckptkit.plugin import hookimpl

    @hookimpl
    def ckptkit_migrators():
        from ckptkit.plugin import Rename, SectionMigrator

        one = SectionMigrator(
            trainer="gpt", section="model", start={start}, stop={start} + 1, title="{title}",
            operations=(Rename({{"a": "b"}}),),
        )
        return [one]
"""


def test_the_migrators_of_all_plugins_are_kept_and_shown(plugin):
    points = [
        plugin("mig_a", MIGRATING.format(start=1, title="one")),
        plugin("mig_b", MIGRATING.format(start=2, title="two")),
    ]
    registry = Registry(points)
    assert [m.title for m in registry.migrators()] == ["one", "two"]
    assert row(registry, "mig_b").migrators == ("gpt model 2 to 3",)


def test_two_migrators_from_one_version_are_never_chosen_between(plugin):
    points = [
        plugin("mig_a", MIGRATING.format(start=1, title="one")),
        plugin("mig_b", MIGRATING.format(start=1, title="another")),
    ]
    registry = Registry(points)
    with pytest.raises(PluginConflictError, match=r"mig_b.*'gpt model 1', which mig_a"):
        registry.migrators()
    assert "gpt model 1" in row(registry, "mig_b").error
    assert registry.dialects()  # the others work as before
