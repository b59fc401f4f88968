"""``ckptkit plugins``: who offers what, and who failed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ckptkit.cli.options import json_option
from ckptkit.errors import PluginConflictError

if TYPE_CHECKING:
    from ckptkit.hooks.manager import PluginRow


@click.command(name="plugins", short_help="Show the plugins: what they offer, what failed.")
@json_option
def command(as_json: bool) -> None:
    """Show every plugin: what it offers, or why it was left out.

    CKPTKIT_DISABLE_PLUGINS=NAME,NAME leaves plugins out ("all": every one but the built-in).
    """
    from ckptkit.hooks.manager import plugin_table, registry

    rows = plugin_table()
    if as_json:
        from ckptkit.cli.json_output import emit

        emit({"plugins": [_row_json(row) for row in rows], "trainers": _trainers(rows)})
    else:
        from ckptkit.cli.render_plugins import render
        from ckptkit.cli.screen import show

        show(render(rows, _trainers(rows)))
        for name in _left_out() - {"all", *(row.name for row in rows)}:
            click.echo(f"CKPTKIT_DISABLE_PLUGINS: {name} is the name of no plugin", err=True)
    try:
        registry().containers()
        registry().dialects()
        registry().migrators()
        registry().trainers()
    except PluginConflictError as exc:
        if as_json:  # it is in the rows already, and there is one object alone
            raise click.exceptions.Exit(exc.exit_code) from exc
        raise


def _left_out() -> set[str]:
    """The names that the environment leaves out."""
    named = os.environ.get("CKPTKIT_DISABLE_PLUGINS", "").split(",")
    return {name.strip() for name in named if name.strip()}


def _trainers(rows: Sequence[PluginRow]) -> list[dict[str, Any]]:
    """What each trainer offers; its config is imported to count its settings, torch is not."""
    from ckptkit.errors import CkptkitError
    from ckptkit.hooks.manager import trainers
    from ckptkit.training.find import missing_libraries
    from ckptkit.training.option import options_of

    try:
        known = trainers()
    except PluginConflictError:  # the table says it
        return []
    told = []
    for one in known:
        error, n_settings = "", 0
        try:
            n_settings = len(options_of(one, one.config))
        except CkptkitError as exc:
            error = str(exc)
        told.append({
            "name": one.name, "title": one.title,
            "plugin": next(row.name for row in rows if one.name in row.trainers),
            "actions": [action.name for action in one.actions], "settings": n_settings,
            "missing": missing_libraries(one), "install": one.install, "error": error,
        })  # fmt: skip
    return told


def _row_json(row: Any) -> dict[str, Any]:
    fields: dict[str, Any] = row._asdict()
    return fields | {
        "containers": list(row.containers),
        "dialects": list(row.dialects),
        "migrators": list(row.migrators),
        "trainers": list(row.trainers),
    }
