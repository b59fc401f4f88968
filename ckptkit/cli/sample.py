"""``ckptkit sample``: parse, one action, render."""

from __future__ import annotations

from ckptkit.cli.deeds import deed_command

command = deed_command(
    "sample", short_help="Make samples with a checkpoint of a trainer.",
    text="""Make samples with PATH: a checkpoint of a trainer, a run's folder, the folder that holds
    it, or `latest`.

    Its trainer knows how: `ckptkit sample PATH --help` shows its options, and where they go: of the
    trainers here into samples/ of the run. --set changes a setting of the training, as in
    --set device=cpu.
    """,
)  # fmt: skip
