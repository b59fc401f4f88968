"""How older weights become today's; imports no torch."""

from ckptkit.plugin import Rename, SectionMigrator

VERSIONS = {"model": 2}

MIGRATORS = [
    SectionMigrator(
        trainer="spirals", section="model", start=1, stop=2, title="layers are called body",
        operations=(Rename({"layers.(.*)": r"body.\1"}),),
    )
]  # fmt: skip
