"""``ckptkit migrate``: parse, migrate, render."""

from __future__ import annotations

from typing import Any

import click

from ckptkit.cli.options import PathArgument, dialect_option, json_option, limit_option
from ckptkit.types import Limits


def _read_versions(
    _ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]
) -> dict[str, int]:
    """Parse ``VERSION`` and ``SECTION=VERSION``; ``newest`` is 0, no section is ""."""
    found: dict[str, int] = {}
    for word in words:
        section, _, text = word.rpartition("=")
        if text != "newest" and not (text.isascii() and text.isdigit() and int(text) > 0):
            raise click.BadParameter(f"{word!r} is no version, such as 3, model=3 or newest")
        if section in found:
            raise click.BadParameter(f"{section or 'a version'} is given twice")
        found[section] = 0 if text == "newest" else int(text)
    return found


@click.command(name="migrate", short_help="Turn any checkpoint into a sealed v2 folder.")
@click.argument("source", type=PathArgument())
@click.argument("target", required=False, metavar="[DST]", type=PathArgument())
@click.option(
    "--recursive", is_flag=True, help="Migrate every checkpoint below SOURCE, into DST if given."
)
@click.option("--dry-run", is_flag=True, help="Show where every key would go; write nothing.")
@click.option("--replace", is_flag=True, help="Replace DST if it exists, atomically.")
@click.option(
    "--remove-source", is_flag=True, help="Remove SOURCE after the result was read back and proved."
)
@click.option(
    "--to",
    "to",
    metavar="[SECTION=]VERSION",
    multiple=True,
    callback=_read_versions,
    help="Lead the sections of a trainer to this version, or `newest`, also back. Repeatable.",
)
@click.option("--trainer", default="", metavar="NAME", help="Whose migrators apply.")
@click.option(
    "--migrators",
    metavar="MODULE|FILE.py",
    multiple=True,
    help="Import this module of yours and use its migrators, too. Repeatable.",
)
@click.option("--every", is_flag=True, help="One line for each key: collapse nothing.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@dialect_option
@limit_option
@json_option
def command(
    *,
    source: str,
    target: str | None,
    recursive: bool,
    dry_run: bool,
    replace: bool,
    remove_source: bool,
    to: dict[str, int],
    trainer: str,
    migrators: tuple[str, ...],
    every: bool,
    workers: int,
    dialect: str | None,
    limits: Limits,
    as_json: bool,
) -> None:
    """Write SOURCE, a checkpoint of any kind, as a sealed v2 folder DST.

    DST is by default beside the source, its name without the suffix. Everything is written beside
    DST, read back, compared with the source and only then named DST. The source stays.
    With --to the trainer's migrators are applied on the way; then SOURCE may be sealed already.
    """
    from ckptkit.cli.ended import said_if_ended
    from ckptkit.cli.progress import meter
    from ckptkit.verbs.migrate import MigrateOptions

    with meter("migrating", None) as shown:
        options = MigrateOptions(
            dialect=dialect, versions=_versions(to, trainer, migrators), limits=limits,
            dry_run=dry_run, replace=replace,
            remove_source=remove_source, created=_now(), workers=workers,
            started=lambda nbytes: shown.restart("migrating", nbytes), progress=shown.advance,
        )  # fmt: skip
        with said_if_ended(source, target, recursive=recursive):
            report = _run(source, target, options, recursive=recursive)
    if as_json:
        from ckptkit.cli.json_output import emit
        from ckptkit.cli.migrate_json import migration_json, tree_json

        emit(tree_json(report) if recursive else migration_json(report))
    else:
        from ckptkit.cli.render_migrate import render, render_tree
        from ckptkit.cli.screen import show

        show(render_tree(report) if recursive else render(report, every=every))
    if recursive and report.failures:
        raise click.exceptions.Exit(report.failures[0][1].exit_code)


def _run(source: str, target: str | None, options: Any, *, recursive: bool) -> Any:
    if recursive:
        from ckptkit.verbs.migrate_tree import migrate_tree

        return migrate_tree(source, target, options)
    from ckptkit.verbs.migrate import migrate

    return migrate(source, target, options)


def _versions(to: dict[str, int], trainer: str, modules: tuple[str, ...]) -> Any:
    """What is asked of the sections; modules are the user's own code, imported as such."""
    import os

    from ckptkit.verbs.evolving.asked import Versions
    from ckptkit.verbs.migrators import migrators_in

    root = os.getcwd()  # noqa: PTH109  a string is what sys.path takes
    found = tuple(one for module in modules for one in migrators_in(module, root))
    if modules and not to:
        to = {"": 0}
    return Versions(trainer=trainer, to=to, migrators=found)


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="seconds")
