"""Version 2 to 3 of the section model of gpt: written by --autogenerate, the title by hand."""

from ckptkit.plugin import SectionMigrator, Split

MIGRATORS = [
    SectionMigrator(
        trainer="gpt",
        section="model",
        start=2,
        stop=3,
        title="query, key and value have weights of their own",
        operations=(
            # names and shapes; the parts lie one after the other
            Split(
                r"layers.(\d+).attention.qkv.(weight|bias)",
                (
                    r"layers.\1.attention.q.\2",
                    r"layers.\1.attention.k.\2",
                    r"layers.\1.attention.v.\2",
                ),
            ),
        ),
    ),
]
