"""``ckptkit evaluate``: parse, one action, render."""

from __future__ import annotations

from ckptkit.cli.deeds import deed_command

command = deed_command(
    "evaluate", short_help="Measure a checkpoint of a trainer.",
    text="""Measure PATH: a checkpoint of a trainer, a run's folder, the folder that holds it, or
    `latest`.

    Its trainer knows how: `ckptkit evaluate PATH --help` shows its options. --set changes a setting
    of the training, as in --set data=FOLDER.
    """,
)  # fmt: skip
