"""``ckptkit verify``: parse, check, render."""

from __future__ import annotations

import os
from typing import Any

import click

from ckptkit.cli.options import json_option, limit_option
from ckptkit.types import Limits


@click.command(name="verify", short_help="Check every byte against what was recorded for it.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@click.option("--all", "with_all", is_flag=True, help="Name what is in order, too.")
@limit_option
@json_option
def command(paths: tuple[str, ...], with_all: bool, limits: Limits, as_json: bool) -> None:
    """Read every byte of each PATH and check it: digests, CRC-32s, structure.

    A sealed folder has a digest for every tensor; a torch zip has a CRC-32 for every entry, which
    torch.load never looks at; in other kinds the structure is all there is. Exit code 61 says that
    something is damaged; then the first path that is no checkpoint decides. Of a run's folder, the
    folder that holds it, or `latest` the newest checkpoint is taken.
    """
    from ckptkit.cli.newest import checkpoint_at
    from ckptkit.errors import CkptkitError, DamageFoundError, PluginError
    from ckptkit.verbs.verify import verify

    outcomes: list[Any] = []
    failed: CkptkitError | None = None
    for path in paths:
        try:
            outcomes.append(_with_meter(verify, checkpoint_at(path, limits), limits))
        except PluginError:
            raise
        except CkptkitError as exc:
            failed = failed or exc
            outcomes.append((path, exc))
    if len(outcomes) == 1 and failed is not None:
        raise failed
    if as_json:
        from ckptkit.cli.json_output import emit
        from ckptkit.cli.verify_json import verification_json

        emit(verification_json(outcomes))
    else:
        from ckptkit.cli.render_verify import render
        from ckptkit.cli.screen import show

        show(render(outcomes, with_all=with_all))
    if any(getattr(outcome, "verdict", "") == "damaged" for outcome in outcomes):
        raise click.exceptions.Exit(DamageFoundError.exit_code)
    if failed is not None:
        raise click.exceptions.Exit(failed.exit_code)


def _with_meter(verify: Any, path: str, limits: Limits) -> Any:
    from ckptkit.cli.progress import meter
    from ckptkit.cli.safe_text import safe

    with meter(f"verifying {safe(os.path.basename(path))}", _nbytes(path)) as shown:  # noqa: PTH119
        return verify(path, limits=limits, progress=shown.advance)


def _nbytes(path: str) -> int | None:
    """What there is to read, for the bar alone."""
    try:
        if os.path.isdir(path):  # noqa: PTH112
            with os.scandir(path) as entries:
                return sum(entry.stat().st_size for entry in entries if entry.is_file())
        return os.path.getsize(path)  # noqa: PTH202
    except OSError:
        return None
