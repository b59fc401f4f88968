"""The plugins of this process, loaded once: which parts there are, and who failed to bring his.

A plugin never takes ckptkit down: one that cannot be imported, or whose hook raises, is left
out and recorded, and ``ckptkit plugins`` shows the record. Only two parts of one name are
refused, because no choice between them would be right.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pluggy

from ckptkit.errors import PluginConflictError
from ckptkit.hooks import specs
from ckptkit.hooks.discovery import EntryPoint, find_entry_points
from ckptkit.protocols import Container, Dialect, SectionMigrator, Trainer

GROUP = "ckptkit"
_BUILTIN = EntryPoint("builtin", "ckptkit.hooks.builtins", "ckptkit", "")

# What a part must have; a plugin that returns something else is told so at once.
_PARTS = {
    "ckptkit_containers": ("name", "title", "rank", "matches", "open", "scan"),
    "ckptkit_dialects": ("name", "title", "recognise", "interpret"),
    "ckptkit_migrators": ("name", "trainer", "section", "start", "stop", "title", "operations"),
    "ckptkit_trainers": ("name", "title", "config", "train", "actions", "versions"),
}


class PluginRow(NamedTuple):
    """One plugin: where it comes from, what it offers, and what went wrong (else "")."""

    name: str
    distribution: str
    version: str
    module: str
    state: str  # "builtin", "loaded", "failed", "disabled"
    containers: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ()
    migrators: tuple[str, ...] = ()
    trainers: tuple[str, ...] = ()
    error: str = ""


class _Part(NamedTuple):
    plugin: str
    value: Any


class Registry:
    """The plugins of one set of entry points; ``registry()`` is the one of this process."""

    def __init__(self, entry_points: Sequence[EntryPoint], disabled: Iterable[str] = ()) -> None:
        """Load every plugin in a try of its own; ``disabled`` names are not even imported."""
        self._manager = pluggy.PluginManager(specs.PROJECT)
        self._manager.add_hookspecs(specs)
        self._errors: dict[str, str] = {}
        self._disabled = frozenset(disabled)
        self._points: dict[str, EntryPoint] = {}
        self._parts: dict[str, list[_Part]] = {}
        for point in (_BUILTIN, *entry_points):
            name = point.name
            if name in self._points:  # two plugins may well choose the same short name
                name = f"{point.name} ({point.distribution})"
            self._points[name] = point
            if not self._is_disabled(name):
                self._load(name, point)

    def _is_disabled(self, name: str) -> bool:
        return name != _BUILTIN.name and bool(self._disabled & {name, "all"})

    def _load(self, name: str, point: EntryPoint) -> None:
        if point is _BUILTIN:  # a failure here is ours, and must not hide as a left-out plugin
            self._manager.register(_resolve(point.value), name=name)
            return
        try:
            plugin = _resolve(point.value)
            self._manager.register(plugin, name=name)
        except (Exception, SystemExit) as exc:  # noqa: BLE001  a plugin may raise anything
            self._errors[name] = _describe(exc)

    def containers(self) -> list[Container]:
        """Every container, lowest rank first. Raises: PluginConflictError."""
        parts: list[Container] = [part.value for part in self._unique("ckptkit_containers")]
        return sorted(parts, key=lambda part: part.rank)

    def dialects(self) -> list[Dialect]:
        """Every dialect, in the order of registration. Raises: PluginConflictError."""
        return [part.value for part in self._unique("ckptkit_dialects")]

    def migrators(self) -> list[SectionMigrator]:
        """Every migrator, in the order of registration. Raises: PluginConflictError."""
        return [part.value for part in self._unique("ckptkit_migrators")]

    def trainers(self) -> list[Trainer]:
        """Every trainer, in the order of registration. Raises: PluginConflictError."""
        return [part.value for part in self._unique("ckptkit_trainers")]

    def plugin_table(self) -> list[PluginRow]:
        """Say of every plugin what it offers or why it does not; never raises."""
        containers = self._collect("ckptkit_containers")
        dialects = self._collect("ckptkit_dialects")
        migrators = self._collect("ckptkit_migrators")
        trainers = self._collect("ckptkit_trainers")
        errors = dict(self._errors)
        for parts in (containers, dialects, migrators, trainers):
            errors |= self._conflicts(parts)
        rows = []
        for name, point in self._points.items():
            state = "builtin" if point is _BUILTIN else "loaded"
            state = "disabled" if self._is_disabled(name) else state
            rows.append(
                PluginRow(
                    name, point.distribution, point.version, point.value,
                    "failed" if name in errors else state,
                    tuple(part.value.name for part in containers if part.plugin == name),
                    tuple(part.value.name for part in dialects if part.plugin == name),
                    tuple(_way(part.value) for part in migrators if part.plugin == name),
                    tuple(part.value.name for part in trainers if part.plugin == name),
                    errors.get(name, ""),
                )
            )  # fmt: skip
        return rows

    def _collect(self, hook: str) -> list[_Part]:
        """Call one hook of every plugin, once a process."""
        if hook not in self._parts:
            parts: list[_Part] = []
            for impl in getattr(self._manager.hook, hook).get_hookimpls():  # ours come first
                try:
                    offered = _checked(impl.function(), _PARTS[hook])
                except (Exception, SystemExit) as exc:
                    if impl.plugin_name == _BUILTIN.name:
                        raise
                    self._errors[impl.plugin_name] = f"{hook}: {_describe(exc)}"
                    continue
                parts.extend(_Part(impl.plugin_name, part) for part in offered)
            self._parts[hook] = parts
        return self._parts[hook]

    def _unique(self, hook: str) -> list[_Part]:
        parts = self._collect(hook)
        for plugin, message in self._conflicts(parts).items():
            raise PluginConflictError(
                f"plugin {plugin}", message, "one part of each name",
                "remove one of the two distributions, or disable a plugin with "
                "CKPTKIT_DISABLE_PLUGINS=NAME",
            )  # fmt: skip
        return parts

    def _conflicts(self, parts: Sequence[_Part]) -> dict[str, str]:
        owners: dict[str, str] = {}
        conflicts: dict[str, str] = {}
        for part in parts:
            owner = owners.get(part.value.name)
            if owner is not None:
                conflicts[part.plugin] = (
                    f"offers {part.value.name!r}, which {owner} "
                    f"({self._points[owner].distribution}) offers too"
                )
            owners.setdefault(part.value.name, part.plugin)
        return conflicts


def _resolve(value: str) -> Any:
    """Import what an entry point names."""
    from importlib import import_module

    module, _, attributes = value.partition(":")
    plugin: Any = import_module(module.strip())
    for attribute in filter(None, attributes.strip().split(".")):
        plugin = getattr(plugin, attribute)
    return plugin


def _checked(offered: Iterable[Any], needed: Sequence[str]) -> list[Any]:
    parts = list(offered)
    for part in parts:
        lacking = [name for name in needed if not hasattr(part, name)]
        if lacking:
            raise TypeError(f"{type(part).__name__} lacks {', '.join(lacking)}")
    return parts


def _way(migrator: SectionMigrator) -> str:
    return f"{migrator.name} to {migrator.stop}"


def _describe(exc: BaseException) -> str:
    """One line: what was raised, and the last place of the plugin that raised it."""
    text = " ".join(str(exc).split()) or "no message"
    trace, place = exc.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith("<"):
            place = f" ({code.co_filename.rpartition('/')[2]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(exc).__name__}: {text}{place}"


# -- the registry of this process ----------------------------------------------------------------

_state: dict[str, Any] = {"disabled": frozenset(), "registry": None}


def disable(names: Iterable[str]) -> None:
    """Leave these plugins out of this process ("all": every one but ours)."""
    left_out = frozenset(names)
    if left_out != _state["disabled"]:  # else what is loaded is what it would be
        _state["disabled"], _state["registry"] = left_out, None


def registry() -> Registry:
    """The registry of this process, built at the first call."""
    if _state["registry"] is None:
        points = find_entry_points(GROUP, sys.path)
        _state["registry"] = Registry(points, _state["disabled"])
    result: Registry = _state["registry"]
    return result


def containers() -> list[Container]:
    """Every container of this process, lowest rank first. Raises: PluginConflictError."""
    return registry().containers()


def dialects() -> list[Dialect]:
    """Every dialect of this process. Raises: PluginConflictError."""
    return registry().dialects()


def migrators() -> list[SectionMigrator]:
    """Every migrator of this process. Raises: PluginConflictError."""
    return registry().migrators()


def trainers() -> list[Trainer]:
    """Every trainer of this process. Raises: PluginConflictError."""
    return registry().trainers()


def plugin_table() -> list[PluginRow]:
    """One row a plugin, ours first; never raises."""
    return registry().plugin_table()
