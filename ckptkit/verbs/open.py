"""The verb that all others begin with: a path becomes a lazy checkpoint in the words of v2."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ckptkit.containers.gc_pause import paused_gc
from ckptkit.containers.probe import choose, make_probe
from ckptkit.errors import UnfinishedError
from ckptkit.hooks.manager import containers, dialects
from ckptkit.nodes import MapNode
from ckptkit.protocols import Move, Opened, Reading, SourceView
from ckptkit.types import DEFAULT_LIMITS, SEALED_CONTAINER, Limits, Notice

if TYPE_CHECKING:  # a sealed checkpoint needs no dialects, another one no manifest: start-up
    from ckptkit.dialects.recognition import Verdict
    from ckptkit.verbs.lazy_tensor import LazyTensor
    from ckptkit.verbs.sealed import Sealed


OWN_DIALECT = "ckptkit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An open checkpoint of any kind. Its tensors are read only when asked for; close it.

    ``schema_version`` is what was found on disk (0, 1 or 2); ``document`` is always version 2:
    section name -> node. ``moves`` say where each part of the source tree went. ``verdict`` says
    whose keys they were and by what evidence; a sealed checkpoint has none, but a ``dialect``.
    """

    path: FilePath
    opened: Opened
    schema_version: int
    document: MapNode
    moves: tuple[Move, ...] = ()
    steps: tuple[str, ...] = ()
    verdict: Verdict | None = None
    reading: Reading | None = None
    sealed: Sealed | None = None
    notices: tuple[Notice, ...] = ()

    @property
    def dialect(self) -> str:
        """Whose keys they are, or were before they were sealed; "ckptkit" for nobody else's."""
        if self.verdict is not None:
            return self.verdict.dialect.name
        node: object = self.document
        for key in ("provenance", "migrated_from", "dialect"):
            node = node.get(key) if isinstance(node, MapNode) else None
        return node if isinstance(node, str) else OWN_DIALECT

    @property
    def trainer(self) -> str:
        """The program that saved it and counts the versions of its sections; "" for nobody."""
        return "" if self.sealed is None else self.sealed.manifest.trainer

    @property
    def versions(self) -> dict[str, int]:
        """The version of each section of a sealed checkpoint; empty for others."""
        if self.sealed is None:
            return {}
        return {one.name: one.version for one in self.sealed.manifest.sections}

    def tensors(self, section: str | None = None) -> Iterator[LazyTensor]:
        """Every tensor of the document, or of one section; ties stand at each of their places."""
        from ckptkit.verbs.lazy_tensor import lazy_tensors

        if section is None:
            return lazy_tensors(self.document)
        return lazy_tensors(self.document.get(section), (section,))

    def state(self, section: str) -> Any:
        """A section as live Python values with torch tensors on the CPU: what ``save`` was given.

        Its tensors are read now, into new memory, and compared with their digests where the
        checkpoint is sealed; ties are tied again. An optimizer's section may be handed to
        ``load_state_dict`` as it is. Objects of unknown classes stay inert records. A name that
        ``save`` was given and made a section of (``model_state_dict``, ``epoch``) is known, too.
        Raises: KeyError; ContainerError; UnrepresentableError; MissingExtraError without torch.
        """
        from ckptkit.verbs.section_state import live_state

        return live_state(self, section)

    def stored_tensors(self) -> Iterator[LazyTensor]:
        """Every tensor at the place where the file itself has it, before its keys were sorted."""
        from ckptkit.verbs.lazy_tensor import lazy_tensors

        return lazy_tensors(self.opened.root if self.sealed is None else self.document)

    def close(self) -> None:
        """Give the file descriptors back; the tensors can no longer be read."""
        self.opened.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_container(path: FilePath, limits: Limits = DEFAULT_LIMITS) -> Opened:
    """Open ``path`` by its content, whatever its name. Raises: InputError, ContainerError.

    A checkpoint whose replacement died between its two renames is opened where it lies, beside
    its place: a reader changes nothing; the next writer puts it back.
    """
    if not os.path.lexists(path):
        aside = _moved_aside(path)
        if aside is not None:
            message = f"was moved aside by a save that died; read from {aside.name}"
            opened = open_container(aside, limits)
            notice = Notice("warning", "moved-aside", message, str(path))
            return replace(opened, path=path, notices=(notice, *opened.notices))
    probe = make_probe(path)
    container = choose(probe, containers())

    def open_inner(inner: FilePath) -> Opened:
        return open_container(inner, limits)

    return container.open(probe, limits, open_inner)


def _moved_aside(path: FilePath) -> FilePath | None:
    from ckptkit.storage.leftovers import find_moved_aside

    try:
        return find_moved_aside(path)
    except OSError:  # its folder cannot be listed: then there is nothing at this path
        return None


def load(
    path: FilePath | str, *, dialect: str | None = None, limits: Limits = DEFAULT_LIMITS
) -> Checkpoint:
    """Open any checkpoint without running its pickle, and say what its keys mean.

    ``dialect`` names whose keys they are where recognition would not, or not that way.
    Raises: InputError, ContainerError, SchemaError, DialectError.
    """
    with paused_gc():
        opened = open_container(FilePath(path), limits)
        try:
            if opened.container == SEALED_CONTAINER:
                return _from_sealed(opened, limits)
            return _from_foreign(opened, dialect)
        except BaseException:
            opened.close()
            raise


def _from_sealed(opened: Opened, limits: Limits) -> Checkpoint:
    from ckptkit.verbs.recovered_mark import recovery_notices
    from ckptkit.verbs.sealed import read_sealed

    sealed = read_sealed(opened, limits)
    return Checkpoint(
        path=opened.path,
        opened=opened,
        schema_version=sealed.manifest.schema,
        document=sealed.document,
        sealed=sealed,
        notices=(*opened.notices, *sealed.notices, *recovery_notices(sealed.document)),
    )


def _from_foreign(opened: Opened, wanted: str | None) -> Checkpoint:
    from ckptkit.dialects.recognition import recognise
    from ckptkit.schema import compose_moves, run_chain

    reason = opened.properties.get("unfinished")
    if reason:
        advice = "use an older checkpoint, or remove the leftover if you know the rest is whole"
        raise UnfinishedError(opened.path, str(reason), "a save that came to its end", advice)
    view = SourceView(
        root=opened.root,
        container=opened.container,
        name=opened.path.name,
        properties=opened.properties,
    )
    verdict = recognise(view, dialects(), wanted)
    reading = verdict.dialect.interpret(view)
    chain = run_chain(reading.document, reading.version)
    return Checkpoint(
        path=opened.path,
        opened=opened,
        schema_version=reading.version,
        document=chain.document,
        moves=compose_moves(reading.moves, chain.moves),
        steps=tuple(step.title for step in chain.steps),
        verdict=verdict,
        reading=reading,
        notices=(*opened.notices, *reading.notices),
    )
