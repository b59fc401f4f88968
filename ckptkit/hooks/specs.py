"""The hooks: what a plugin may offer, and what each offer means (docs/hooks.md repeats it)."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from ckptkit.protocols import Container, Dialect, SectionMigrator, Trainer

PROJECT = "ckptkit"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def ckptkit_containers() -> Iterable[Container]:
    """Offer containers: ways in which bytes hold a checkpoint.

    When: once per process, before the first file is opened; do no I/O here.   Since: 0.1.
    Merge: all are kept, asked by rank; two of one name raise PluginConflictError.
    On error: this plugin's containers are left out, and ``ckptkit plugins`` says why.
    """
    return ()


@hookspec
def ckptkit_dialects() -> Iterable[Dialect]:
    """Offer dialects: how another project names and nests its keys.

    When: once per process, before the first tree is recognised; do no I/O here.   Since: 0.1.
    Merge: all are kept; two of one name raise PluginConflictError.
    On error: this plugin's dialects are left out, and ``ckptkit plugins`` says why.
    """
    return ()


@hookspec
def ckptkit_migrators() -> Iterable[SectionMigrator]:
    """Offer migrators: how a section of a trainer leads from one version to the next.

    When: once per process, before the first section is migrated or restored; do no I/O here.
    Since: 0.1.
    Merge: all are kept; two that begin at one version of one section raise PluginConflictError.
    On error: this plugin's migrators are left out, and ``ckptkit plugins`` says why.
    """
    return ()


@hookspec
def ckptkit_trainers() -> Iterable[Trainer]:
    """Offer trainers: programs for ``ckptkit train``, ``resume``, ``sample`` and ``evaluate``.

    When: once per process, before the first trainer is looked for; do no I/O here.   Since: 0.1.
    Merge: all are kept; two of one name raise PluginConflictError.
    On error: this plugin's trainers are left out, and ``ckptkit plugins`` says why.
    """
    return ()
