"""``ckptkit verify``: parse, check, render."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ckptkit.cli.options import json_option, limit_option
from ckptkit.types import Limits

if TYPE_CHECKING:
    from ckptkit.verbs.verify import Verification


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
    folder that holds it, or `latest` every checkpoint of that run is read.
    """
    from ckptkit.errors import DamageFoundError

    outcomes = [outcome for path in paths for outcome in _outcomes(path, limits)]
    failed = next((outcome[1] for outcome in outcomes if isinstance(outcome, tuple)), None)
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


def _outcomes(word: str, limits: Limits) -> Iterator[Any]:
    """What verifying came to for each checkpoint that a word means: an error stands with a path.

    What several names have in common is read once. Raises: PluginError.
    """
    from ckptkit.cli.newest import checkpoints_at
    from ckptkit.errors import CkptkitError

    try:
        places = checkpoints_at(word, limits)
    except CkptkitError as exc:
        yield word, exc
        return
    if places == [word]:
        yield _outcome(word, limits)
        return
    read: dict[frozenset[Any], Verification] = {}
    for place in places:
        files = _files_in(Path(place))
        before = read.get(files)
        outcome = _outcome(place, limits) if before is None else _again(before, place)
        if not os.path.lexists(place):
            continue  # a training that goes on removed it meanwhile
        if before is None and not isinstance(outcome, tuple):
            read[files] = outcome
        yield outcome


def _files_in(path: Path) -> frozenset[Any]:
    """The files of a checkpoint by which no two are the same, unless they are hard links."""
    found = [path, *path.rglob("*")] if path.is_dir() else [path]
    with suppress(OSError):
        told = [(one.relative_to(path), one.stat()) for one in found if not one.is_dir()]
        return frozenset((name, status.st_dev, status.st_ino) for name, status in told)
    return frozenset([path])  # who reads it says what is wrong


def _again(before: Verification, place: str) -> Verification:
    """What was found, for another name of the same files."""
    from dataclasses import replace

    return replace(before, path=Path(place), same_as=before.path)


def _outcome(path: str, limits: Limits) -> Any:
    """Raises: PluginError."""
    from ckptkit.errors import CkptkitError, PluginError
    from ckptkit.verbs.verify import verify

    try:
        return _with_meter(verify, path, limits)
    except PluginError:
        raise
    except CkptkitError as exc:
        return path, exc


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
