"""``ckptkit export``: parse, export, render."""

from __future__ import annotations

import re
from typing import Any

import click

from ckptkit.cli.options import (
    PathArgument,
    complete_sections,
    dialect_option,
    json_option,
    limit_option,
)
from ckptkit.types import Limits

_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def _read_size(_ctx: click.Context, _param: click.Parameter, text: str) -> int:
    """Parse ``5GB`` (powers of 1000) or ``5GiB`` (of 1024), as transformers does."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or not int(match[1]):
        raise click.BadParameter(f"{text!r} is no size, such as 500MB or 5GB")
    unit = 1024 if match[3] else 1000
    return int(match[1]) * int(unit ** _POWERS[match[2].lower()])


def _read_renames(
    _ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Parse ``OLD=NEW`` words, divided at the last equals sign."""
    pairs = []
    for word in words:
        old, sign, new = word.rpartition("=")
        if not sign or not old:
            raise click.BadParameter(f"{word!r} is not OLD=NEW")
        pairs.append((old, new))
    return tuple(pairs)


@click.command(name="export", short_help="Write a checkpoint in a form that other programs open.")
@click.argument("source", metavar="SRC", type=PathArgument())
@click.argument("target", metavar="DST", type=PathArgument())
@click.option(
    "--to", required=True, type=click.Choice(["torch", "safetensors", "hf"]),
    help="A .pt file, plain safetensors, or a folder for from_pretrained.",
)  # fmt: skip
@click.option(
    "--section", "sections", metavar="NAME", multiple=True, shell_complete=complete_sections,
    help="Export this section alone. Repeatable. Default: model; for torch everything.",
)  # fmt: skip
@click.option("--all", "every_section", is_flag=True, help="Export every section.")
@click.option("--ema", is_flag=True, help="Take the averaged weights for the raw ones.")
@click.option(
    "--dtype", type=click.Choice(["float16", "bfloat16", "float32", "float64"]),
    help="Cast the floating tensors of weights, rounded as torch rounds.",
)  # fmt: skip
@click.option(
    "--rename", metavar="OLD=NEW", multiple=True, callback=_read_renames,
    help="Replace what matches the regular expression OLD in names of weights. Repeatable.",
)  # fmt: skip
@click.option(
    "--max-shard-size", "max_shard_nbytes", metavar="SIZE", default="5GB", show_default=True,
    callback=_read_size, help="Of one file of --to hf.",
)  # fmt: skip
@click.option(
    "--config", metavar="FILE", type=PathArgument(),
    help="The config.json of --to hf; default: the source's, or that in its section config.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be written; write nothing.")
@click.option("--replace", is_flag=True, help="Replace DST if it exists, atomically.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@dialect_option
@limit_option
@json_option
def command(*, source: str, target: str, limits: Limits, as_json: bool, **options: Any) -> None:
    """Write SRC, a checkpoint of any kind, at DST in a form that other programs open.

    Everything is written beside DST, read back, compared with the source and only then named DST.
    The source stays. No torch is needed.
    """
    from ckptkit.cli.ended import said_if_ended
    from ckptkit.cli.progress import meter
    from ckptkit.verbs.export import ExportOptions, export

    with meter("exporting", None) as shown:
        asked = ExportOptions(
            limits=limits, started=lambda nbytes: shown.restart("exporting", nbytes),
            progress=shown.advance, **options,
        )  # fmt: skip
        with said_if_ended(source, target, recursive=False):
            report = export(source, target, asked)
    if as_json:
        from ckptkit.cli.export_json import export_json
        from ckptkit.cli.json_output import emit

        emit(export_json(report))
    else:
        from ckptkit.cli.render_export import render
        from ckptkit.cli.screen import show

        show(render(report))
