"""Open a file or folder by its container, and where that refuses, by what is left of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path as FilePath

from ckptkit.containers.probe import choose, make_probe
from ckptkit.containers.salvage import Findings
from ckptkit.errors import (
    CkptkitError,
    ContainerError,
    ForeignFormatError,
    InputError,
    LimitExceededError,
    UnknownFormatError,
)
from ckptkit.hooks.manager import containers
from ckptkit.protocols import Opened, Probe
from ckptkit.types import Limits, Notice

_FOLDER = "folder"
_SHARDED = "sharded"
_ZIPS = ("torch-zip", "prefixed-zip")
_PICKLES = ("torch-legacy", "bare-pickle")


def open_leniently(path: FilePath, limits: Limits, findings: Findings) -> Opened:
    """Open ``path``; every storage of the tree was read, and is sound or named in ``findings``.

    The strict reader comes first: of a whole file nothing is guessed. What raises it, the
    salvage of its kind opens. Raises: InputError, ContainerError if nothing is left.
    """

    def open_inner(inner: FilePath) -> Opened:
        return open_leniently(inner, limits, findings)

    probe = make_probe(path)
    try:
        container = choose(probe, containers())
    except (UnknownFormatError, ForeignFormatError) as exc:
        return _of_no_kind(probe, limits, findings, exc)
    salvage = _salvage_for(container.name, probe, limits, findings)
    if container.name == _FOLDER:
        from ckptkit.containers.salvage_folder import salvage_folder

        return salvage_folder(probe, limits, findings, open_inner)
    failed: CkptkitError | None = None
    try:
        opened = container.open(probe, limits, open_inner)
    except CkptkitError as exc:
        if salvage is None or not (isinstance(exc, ContainerError) or container.name == _SHARDED):
            raise
        failed = exc.with_traceback(None)  # it would keep all that the reader had built
    if failed is not None:
        return _salvaged(salvage, failed, findings)
    if findings.check(opened.root) or container.name not in _ZIPS:
        return opened
    # A damaged header hides bytes that are whole: look again, by everything that says where.
    opened.close()
    return _salvaged(salvage, None, findings)


_Salvage = Callable[[], Opened]


def _salvage_for(kind: str, probe: Probe, limits: Limits, findings: Findings) -> _Salvage | None:
    path = probe.path
    if kind in _ZIPS:
        from ckptkit.containers.salvage_zip import salvage_zip

        return lambda: salvage_zip(path, limits, findings)
    if kind in _PICKLES:
        from ckptkit.containers.salvage_legacy import salvage_legacy

        return lambda: salvage_legacy(path, limits, findings)
    if kind == "safetensors":
        from ckptkit.containers.salvage_safetensors import salvage_safetensors

        return lambda: salvage_safetensors(path, limits, findings)
    if kind == _SHARDED:
        from ckptkit.containers.salvage_sharded import salvage_sharded

        def open_inner(inner: FilePath) -> Opened:
            return open_leniently(inner, limits, findings)

        return lambda: salvage_sharded(path, limits, findings, open_inner)
    return None


def _salvaged(salvage: _Salvage | None, error: CkptkitError | None, findings: Findings) -> Opened:
    """What the salvage finds; if that is nothing, the strict reader's own error is the clearer."""
    assert salvage is not None
    try:
        opened = salvage()
    except LimitExceededError:
        raise
    except ContainerError as exc:
        raise (error or exc) from exc
    if error is not None:
        message = f"opened by what is left of it: {error.seen}"
        findings.notices.append(Notice("info", "salvaged", message, str(opened.path)))
    findings.check(opened.root)
    return opened


def _of_no_kind(probe: Probe, limits: Limits, findings: Findings, error: InputError) -> Opened:
    """A file whose first bytes are damaged, or behind others: try what may lie in it.

    Raises: the error that was there before.
    """
    from ckptkit.containers.salvage_legacy import salvage_legacy
    from ckptkit.containers.salvage_zip import salvage_zip

    for salvage in (salvage_zip, salvage_legacy):
        with suppress(ContainerError):
            salvage(probe.path, limits, Findings(findings.progress)).close()
            found = partial(salvage, probe.path, limits, findings)
            return _salvaged(found, error, findings)
    raise error
