"""``ckptkit plugins``: who offers what, and who failed."""

from __future__ import annotations

from typing import Any

import click

from ckptkit.cli.options import json_option


@click.command(name="plugins", short_help="Show the plugins: what they offer, what failed.")
@json_option
def command(as_json: bool) -> None:
    """Show every plugin: what it offers, or why it was left out.

    CKPTKIT_DISABLE_PLUGINS=NAME,NAME leaves plugins out ("all": every one but the built-in).
    """
    from ckptkit.errors import PluginConflictError
    from ckptkit.hooks.manager import plugin_table, registry

    rows = plugin_table()
    if as_json:
        from ckptkit.cli.json_output import emit

        emit({"plugins": [_row_json(row) for row in rows]})
    else:
        from ckptkit.cli.render_plugins import render
        from ckptkit.cli.screen import show

        show(render(rows))
    try:
        registry().containers()
        registry().dialects()
        registry().migrators()
        registry().trainers()
    except PluginConflictError as exc:
        if as_json:  # it is in the rows already, and there is one object alone
            raise click.exceptions.Exit(exc.exit_code) from exc
        raise


def _row_json(row: Any) -> dict[str, Any]:
    fields: dict[str, Any] = row._asdict()
    return fields | {
        "containers": list(row.containers),
        "dialects": list(row.dialects),
        "migrators": list(row.migrators),
        "trainers": list(row.trainers),
    }
