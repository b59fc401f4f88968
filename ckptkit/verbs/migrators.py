"""The migrators of this process: those of plugins, and those that the caller names."""

from __future__ import annotations

from collections.abc import Iterable

from ckptkit.errors import MigrationError
from ckptkit.hooks import manager
from ckptkit.protocols import SectionMigrator


def known_migrators(named: Iterable[SectionMigrator] = ()) -> tuple[SectionMigrator, ...]:
    """Those that the caller names, and of the plugins' those that begin elsewhere.

    So a script's own migrators win over a plugin's. Raises: PluginConflictError.
    """
    own = tuple(named)
    taken = {one.name for one in own}
    return (*own, *(one for one in manager.migrators() if one.name not in taken))


def owner_of(trainer: str, named: Iterable[SectionMigrator], stated: str = "") -> str:
    """The trainer whose migrators apply: ``stated`` by the checkpoint, or the one that is named.

    With neither it is the one to whom all of ``named`` belong; "" for nobody.
    Raises: MigrationError for one that is not the checkpoint's own, and for several.
    """
    if stated:
        if trainer not in ("", stated):
            raise MigrationError(
                f"trainer {trainer}", f"the checkpoint was saved by {stated}, which counts its own"
                " versions", stated,
            )  # fmt: skip
        return stated
    owners = list(dict.fromkeys(one.trainer for one in named))
    if trainer or not owners:
        return trainer
    if len(owners) > 1:
        raise MigrationError(
            "migrators", f"belong to {', '.join(owners)}", "one trainer", "name it: trainer=..."
        )
    return owners[0]


def migrators_in(module: str, root: str = "") -> tuple[SectionMigrator, ...]:
    """The migrators of a module or file that the user names, which is imported for it.

    They are its ``MIGRATORS``, or else every one that has a name of its own there.
    Raises: FactoryError for a module that cannot be imported; MigrationError if it has none.
    """
    from ckptkit.verbs.factory import import_named

    namespace = vars(import_named(module, root))
    listed = namespace.get("MIGRATORS", namespace.values())
    found = tuple(one for one in listed if isinstance(one, SectionMigrator))
    if not found:
        raise MigrationError(
            module, "holds no migrators", "SectionMigrator values, or a list MIGRATORS of them",
            "write them with ckptkit.plugin.migrator",
        )  # fmt: skip
    return found
