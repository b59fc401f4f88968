"""Which way leads into a damaged checkpoint, and what its keys mean."""

from __future__ import annotations

from pathlib import Path as FilePath

from ckptkit.containers.folder_roles import looks_unsealed
from ckptkit.containers.probe import make_probe
from ckptkit.containers.salvage import Findings
from ckptkit.dialects.recognition import Verdict, recognise
from ckptkit.errors import AmbiguousDialectError, LockedError
from ckptkit.hooks.manager import dialects
from ckptkit.nodes import MapNode
from ckptkit.protocols import Opened, SourceView
from ckptkit.schema import compose_moves, run_chain
from ckptkit.storage.leftovers import is_abandoned, parse_leftover
from ckptkit.types import MANIFEST_NAME, Limits
from ckptkit.verbs.open import Checkpoint
from ckptkit.verbs.recovering.damaged_seal import open_damaged_seal, read_manifest_leniently
from ckptkit.verbs.recovering.found import Found
from ckptkit.verbs.recovering.lenient import open_leniently
from ckptkit.verbs.recovering.unsealed import open_unsealed

_LAST_RESORT = "unknown"  # the dialect that takes every tree


def find(source: FilePath, dialect: str | None, limits: Limits, findings: Findings) -> Found:
    """Open what is left of ``source`` and place every key of it; lost leaves are still there.

    Raises: InputError, ContainerError, SchemaError, DialectError; LockedError for the stage of a
    save that still runs.
    """
    probe = make_probe(source)
    leftover = parse_leftover(source)
    if leftover is not None and not is_abandoned(leftover):
        raise LockedError(
            source, "its writer may still be at work", "what a dead writer left",
            "wait for the save to end; if it is dead (on another computer), rename the folder",
        )  # fmt: skip
    sealed = MANIFEST_NAME in probe.names
    if sealed or looks_unsealed(probe.names) or (leftover is not None and probe.is_dir):
        manifest = read_manifest_leniently(source, limits, findings) if sealed else None
        if manifest is None:
            return open_unsealed(source, limits, findings)
        return open_damaged_seal(source, manifest, limits, findings)
    opened = open_leniently(source, limits, findings)
    try:
        checkpoint = _interpreted(opened, dialect, findings)
    except BaseException:
        opened.close()
        raise
    side_files = opened.properties.get("side_files", MapNode())
    return Found(checkpoint=checkpoint, side_files=tuple(side_files.values()))


def _interpreted(opened: Opened, wanted: str | None, findings: Findings) -> Checkpoint:
    """The document in the words of version 2. Raises: DialectError, SchemaError."""
    view = SourceView(
        root=opened.root, container=opened.container, name=opened.path.name,
        properties=opened.properties,
    )  # fmt: skip
    verdict = _recognised(view, wanted, findings)
    reading = verdict.dialect.interpret(view)
    chain = run_chain(reading.document, reading.version)
    return Checkpoint(
        path=opened.path, opened=opened, schema_version=reading.version, document=chain.document,
        moves=compose_moves(reading.moves, chain.moves),
        steps=tuple(step.title for step in chain.steps),
        verdict=verdict, reading=reading, notices=(*opened.notices, *reading.notices),
    )  # fmt: skip


def _recognised(view: SourceView, wanted: str | None, findings: Findings) -> Verdict:
    """Whose keys they are; where the rest of a tree does not tell, they stay as they are."""
    try:
        return recognise(view, dialects(), wanted)
    except AmbiguousDialectError as exc:
        findings.guess(f"its keys are {exc.seen}; they are kept as they are")
        return recognise(view, dialects(), _LAST_RESORT)
