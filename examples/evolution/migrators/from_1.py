"""Version 1 to 2 of the section model of gpt: written by --autogenerate, the title by hand."""

from ckptkit.plugin import Rename, SectionMigrator

MIGRATORS = [
    SectionMigrator(
        trainer="gpt",
        section="model",
        start=1,
        stop=2,
        title="blocks are called layers",
        operations=(
            # equal shapes, and names that differ in one part alone
            Rename({"blocks.(.*)": r"layers.\1"}),
        ),
    ),
]
