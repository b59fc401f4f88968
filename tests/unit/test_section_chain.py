"""The way between versions of a section: found, or refused where it ends."""

from __future__ import annotations

import pytest

from ckptkit.errors import MigrationError, NewerSchemaError
from ckptkit.protocols import SectionMigrator
from ckptkit.schema.section_chain import check_migrators, newest, of_section, plan_section


def one(start, stop, title="", *, trainer="gpt", section="model"):
    return SectionMigrator(
        trainer=trainer, section=section, start=start, stop=stop, title=title or f"{start}-{stop}"
    )


def ways(*migrators):
    return of_section(check_migrators(migrators), "gpt", "model")


CHAIN = (one(1, 2), one(2, 4), one(4, 5), one(1, 2, section="ema"), one(1, 3, trainer="other"))


@pytest.mark.parametrize(
    ("start", "stop", "titles"),
    [
        (1, 5, ["1-2", "2-4", "4-5"]),
        (2, 4, ["2-4"]),
        (3, 3, []),
        (5, 1, ["4-5", "2-4", "1-2"]),
        (4, 2, ["2-4"]),
    ],
)
def test_the_way_leads_forwards_and_backwards(start, stop, titles):
    legs = plan_section(ways(*CHAIN), start, stop, "w")
    assert [leg.migrator.title for leg in legs] == titles
    assert all(leg.backwards == (start > stop) for leg in legs)


@pytest.mark.parametrize(
    ("start", "stop", "seen"),
    [
        (3, 5, "from version 3 on.*registered: 1 to 2, 2 to 4, 4 to 5"),
        (1, 3, "from version 2 to 3: the one that begins there ends at 4"),
        (1, 9, "from version 5 on"),
        (5, 3, "from version 3 on"),
    ],
)
def test_a_gap_is_refused_where_the_way_ends(start, stop, seen):
    with pytest.raises(MigrationError, match=seen):
        plan_section(ways(*CHAIN), start, stop, "w")


def test_nothing_registered_is_said():
    with pytest.raises(MigrationError, match="none is registered"):
        plan_section({}, 1, 2, "w")


@pytest.mark.parametrize(("start", "stop"), [(2, 1), (1, 1), (0, 1), (-1, 3)])
def test_no_migrator_leads_back_or_nowhere_so_there_is_no_cycle(start, stop):
    with pytest.raises(MigrationError, match=f"from version {start} to {stop}"):
        check_migrators([one(start, stop)])


def test_two_that_begin_at_one_version_are_refused_by_both_titles():
    with pytest.raises(
        MigrationError,
        match=r"'again' begins at version 1 .*'1-2'|begins at version 1 of gpt model, and so does '1-2'",
    ):
        check_migrators([one(1, 2), one(1, 3, "again")])


def test_the_same_migrator_twice_is_one():
    assert len(check_migrators([one(1, 2), one(1, 2)])) == 1


def test_the_newest_version_is_where_the_migrators_end():
    assert newest(ways(*CHAIN), 1) == 5
    assert newest({}, 7) == 7


def test_a_version_that_is_newer_than_every_migrator_is_refused():
    with pytest.raises(NewerSchemaError, match=r"version 6 of gpt.*at most 5"):
        newest(ways(*CHAIN), 6)
