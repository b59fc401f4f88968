"""Version 3 to 4 of the section model of gpt: --autogenerate asked, and this is the answer.

It proposed zeros for the new words. Zeros would give all of them one meaning, so they begin as
the model's own initialisation would let them begin: small, different, and the same every time.
"""

from ckptkit.plugin import Normal, Pad, SectionMigrator

MIGRATORS = [
    SectionMigrator(
        trainer="gpt",
        section="model",
        start=3,
        stop=4,
        title="32 more words",
        operations=(
            # embedding and head are one tensor, and stay one
            Pad("(words|head).weight", ((0, 32),), Normal(seed=4, std=0.02)),
        ),
    ),
]
