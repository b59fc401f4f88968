"""The way from one version of a trainer's section to another, forwards or backwards.

Source: docs/migrations.md, "Migrators of your own".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ckptkit.errors import MigrationError, NewerSchemaError
from ckptkit.protocols import SectionMigrator

FIRST = 1  # what a checkpoint is that was saved before its trainer counted


class Leg(NamedTuple):
    """One migrator of the way, and whether it is taken backwards."""

    migrator: SectionMigrator
    backwards: bool = False

    @property
    def title(self) -> str:
        """What the report prints."""
        one = self.migrator
        ends = (one.stop, one.start) if self.backwards else (one.start, one.stop)
        back = "taken back: " if self.backwards else ""
        return f"{one.section} {ends[0]} to {ends[1]}: {back}{one.title}"


def check_migrators(migrators: Iterable[SectionMigrator]) -> tuple[SectionMigrator, ...]:
    """Return them, once it is certain that every way is unambiguous.

    Raises: MigrationError for a migrator that leads nowhere or back (so there is no cycle), has
    no owner, or begins where another one begins.
    """
    seen: dict[tuple[str, str, int], SectionMigrator] = {}
    for one in migrators:
        where = f"migrator {one.title!a:.80}"
        if not one.trainer or not one.section:
            raise MigrationError(where, "names no trainer or no section", "both")
        if not FIRST <= one.start < one.stop:
            raise MigrationError(
                where, f"leads from version {one.start} to {one.stop}",
                f"a start from {FIRST} on, and a higher stop", "the way back is taken by itself",
            )  # fmt: skip
        other = seen.setdefault((one.trainer, one.section, one.start), one)
        if other is not one and other != one:
            raise MigrationError(
                where, f"begins at version {one.start} of {one.trainer} {one.section}, and so does "
                f"{other.title!a:.80}", "one migrator from each version",
            )  # fmt: skip
    return tuple(seen.values())


def of_section(
    migrators: Iterable[SectionMigrator], trainer: str, section: str
) -> dict[int, SectionMigrator]:
    """The migrators of one section, by the version where they begin."""
    return {m.start: m for m in migrators if (m.trainer, m.section) == (trainer, section)}


def newest(ways: dict[int, SectionMigrator], version: int) -> int:
    """The version to which the migrators lead at last; ``version`` if there are none.

    Raises: NewerSchemaError for a version beyond all that they know.
    """
    last = max((one.stop for one in ways.values()), default=version)
    if version > last:
        one = next(iter(ways.values()))
        raise NewerSchemaError(
            f"{one.section}", f"version {version} of {one.trainer}", f"at most {last}",
            "it was saved by newer code: update the trainer, or register its newer migrators",
        )  # fmt: skip
    return last


def plan_section(ways: dict[int, SectionMigrator], start: int, stop: int, where: str) -> list[Leg]:
    """Return the legs from version ``start`` to ``stop``; none if they are equal.

    Raises: MigrationError for a gap, naming where the way ends.
    """
    if start > stop:
        legs = _forwards(ways, stop, start, where)
        return [Leg(leg.migrator, backwards=True) for leg in reversed(legs)]
    return _forwards(ways, start, stop, where)


def _forwards(ways: dict[int, SectionMigrator], start: int, stop: int, where: str) -> list[Leg]:
    legs: list[Leg] = []
    version = start
    while version < stop:
        one = ways.get(version)
        if one is None or one.stop > stop:
            raise MigrationError(
                where, f"no migrator leads from version {version} "
                + (f"to {stop}: the one that begins there ends at {one.stop}" if one else "on"),
                f"a way between the versions {start} and {stop}",
                _known(ways.values()),
            )  # fmt: skip
        legs.append(Leg(one))
        version = one.stop
    return legs


def _known(migrators: Iterable[SectionMigrator]) -> str:
    listed: Sequence[str] = [f"{one.start} to {one.stop}" for one in migrators]
    return f"registered: {', '.join(listed)}" if listed else "none is registered for this section"
