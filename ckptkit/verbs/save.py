"""The verb ``save``: a run's live state becomes a sealed checkpoint, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from ckptkit.containers.gc_pause import paused_gc
from ckptkit.errors import MissingExtraError, UnrepresentableError, WriteFailedError
from ckptkit.nodes import BlobNode, MapNode
from ckptkit.types import DEFAULT_LIMITS, Limits, Notice
from ckptkit.verbs.manifest_rows import Label
from ckptkit.verbs.saving.arrange import arrange, usual_names
from ckptkit.verbs.saving.names import check_plan, check_sections, check_versions
from ckptkit.verbs.saving.parent import Parent, find_parent, find_unchanged
from ckptkit.verbs.saving.progress import progress_notices
from ckptkit.verbs.saving.records import record_notices
from ckptkit.verbs.saving.report import SaveReport
from ckptkit.verbs.saving.side_files import SideFile, side_blobs
from ckptkit.verbs.saving.surroundings import now, surroundings
from ckptkit.verbs.seal import Sealing, SealOptions, SealPlan, Unchanged, plan_seal, seal
from ckptkit.verbs.targets import FROM_PYTHON, check_replaceable, sealed_above

if TYPE_CHECKING:  # torch is imported when something is saved
    from ckptkit.torch_bridge.capture import Captured

PROVENANCE, SAVED = "provenance", "saved"


def save(
    path: FilePath | str | PathLike[str],
    state: Mapping[str, object],
    *,
    replace: bool = True,
    parent: FilePath | str | PathLike[str] | None = None,
    trainer: str = "",
    versions: Mapping[str, int] | None = None,
    side_files: Mapping[str, SideFile] | None = None,
    provenance: bool = True,
    check_parent: bool = True,
    workers: int = 2,
    started: Callable[[int], None] | None = None,
    progress: Callable[[int], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> SaveReport:
    """Write ``state`` to a checkpoint folder at ``path``; after any failure what was there stays.

    ``state`` maps section names to objects with a ``state_dict`` (modules, optimizers, schedulers,
    averages, ...), to plain data, or to mappings of either. Tensors may lie on any device; their
    bytes are written from where they lie. Frozen parameters of a module get a file of their own.
    The dict that ``torch.save`` used to get is taken as it is: plain data under the usual names
    (``model_state_dict``, ``epoch``) gets its section, and the report says so (docs/save.md).

    ``replace``: a checkpoint that is there is replaced in one step; anything else never is.
    ``parent``: the run's previous checkpoint (else the one that is replaced): its digest goes into
    the provenance, and files of frozen parameters that are equal to its are hard-linked.
    ``check_parent``: read such files first, so that damage is not passed on.
    ``trainer``, ``versions``: whose layouts the sections have, and which ones.
    ``side_files``: name -> bytes or a path, stored as they are.
    ``provenance``: whether to say by which versions, command and commit it was made.
    ``started`` gets the number of bytes to come, ``progress`` those that were written since.
    Raises: UnrepresentableError (what is no data, with its place); UnsafePathError (a name that
    no file can have); TargetExistsError, DiskFullError and other StorageErrors;
    MissingExtraError without torch.
    """
    options = SaveOptions(
        replace=replace, parent=None if parent is None else FilePath(parent), trainer=trainer,
        versions=dict(versions or {}), side_files=side_files or {}, provenance=provenance,
        check_parent=check_parent, workers=workers, started=started, progress=progress,
        limits=limits,
    )  # fmt: skip
    with paused_gc():
        pending = begin_save(FilePath(path), state, options)
        return _arranged(pending, state).write()


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveOptions:
    """The options of ``save`` as one value."""

    replace: bool = True
    parent: FilePath | None = None
    trainer: str = ""
    versions: Mapping[str, int] = field(default_factory=dict)
    side_files: Mapping[str, SideFile] = field(default_factory=dict)
    provenance: bool = True
    check_parent: bool = True
    workers: int = 2
    started: Callable[[int], None] | None = None
    progress: Callable[[int], None] | None = None
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSave:
    """A save that was begun: everything is looked at and captured, and no byte is written yet.

    ``document`` reads the live memory. Who wants to train on before it is written has its tensors
    point at a copy first (``ckptkit.run.staging``).
    """

    target: FilePath
    document: MapNode
    modules: frozenset[str]
    before: Parent | None
    blobs: tuple[BlobNode, ...]
    created: str
    notices: tuple[Notice, ...]
    options: SaveOptions

    def write(self) -> SaveReport:
        """Write and seal it. Raises: as ``save``."""
        options = self.options
        plan = plan_seal(self.document, self.blobs, options.limits, split=self.modules)
        check_plan(plan)
        unchanged, more = _unchanged(
            plan, self.before, check_files=options.check_parent, workers=options.workers
        )
        sealing = seal(
            plan,
            self.target,
            SealOptions(
                replace=options.replace,
                words=FROM_PYTHON,
                label=Label(self.created, options.trainer, options.versions),
                prove=False,
                unchanged=unchanged,
                workers=options.workers,
                started=options.started,
                progress=options.progress,
            ),
        )
        told = (*self.notices, *record_notices(plan), *more)
        return _report(sealing, self.target, self.before, told)


def begin_save(target: FilePath, state: Mapping[str, object], options: SaveOptions) -> PendingSave:
    """Do the first half of ``save``: refuse what must be refused, and capture the state."""
    _check_target(target, replace=options.replace, limits=options.limits)
    check_sections(state)
    check_versions(dict(options.versions), state, options.trainer)
    blobs = side_blobs(options.side_files)
    before, notices = find_parent(options.parent, target, options.limits)
    created = now() if options.provenance else ""
    if options.provenance:
        state = _with_provenance(state, created, options.trainer, before)
    captured = _captured(state)
    return PendingSave(
        target=target,
        document=captured.document,
        modules=captured.modules,
        before=before,
        blobs=tuple(blobs),
        created=created,
        notices=tuple(notices),
        options=options,
    )


def _unchanged(
    plan: SealPlan, parent: Parent | None, *, check_files: bool, workers: int
) -> tuple[dict[str, Unchanged], tuple[Notice, ...]]:
    if parent is None:
        return {}, ()
    return find_unchanged(plan, parent, check_files=check_files, workers=workers)


def _check_target(target: FilePath, *, replace: bool, limits: Limits) -> None:
    """Refuse at once what the end would refuse: nothing is captured in vain."""
    holder = sealed_above(target)
    if holder is not None:
        raise WriteFailedError(
            target, f"lies inside the sealed checkpoint {holder}", "a place outside of it",
            "save somewhere else",
        )  # fmt: skip
    check_replaceable(target, replace=replace, limits=limits, words=FROM_PYTHON)


def _arranged(pending: PendingSave, state: Mapping[str, object]) -> PendingSave:
    """Give plain data under the usual names its section; a trainer's names are its own."""
    options, document = pending.options, pending.document
    told: tuple[Notice, ...] = ()
    names = usual_names(state.keys() - options.versions.keys())
    if names and not options.trainer:
        from ckptkit.torch_bridge.parameter_names import live_objects

        live = {path[0] for path, _ in live_objects(state)}
        document, told = arrange(document, names - live)
    notices = (*pending.notices, *told, *progress_notices(document))
    return replace(pending, document=document, notices=notices)


def _captured(state: Mapping[str, object]) -> Captured:
    try:
        from ckptkit.torch_bridge.capture import capture_state
    except ImportError as exc:
        raise MissingExtraError(
            "save", "torch is not installed", "it, to look into live state", "pip install torch"
        ) from exc
    return capture_state(state)


def _with_provenance(
    state: Mapping[str, object], created: str, trainer: str, parent: Parent | None
) -> dict[str, object]:
    """Add what save itself knows, under the one key that is its own.

    Source: docs/format.md section "Sections (v2)".
    """
    told = state.get(PROVENANCE, {})
    if not isinstance(told, Mapping):
        raise UnrepresentableError(
            PROVENANCE, f"a {type(told).__name__}", "a mapping, to which save adds its own facts",
            "put it under a key, or save with provenance=False",
        )  # fmt: skip
    saved: dict[str, object] = {"created": created, **surroundings()}
    if trainer:
        saved["trainer"] = trainer
    if parent is not None:
        saved["parent"] = parent.digest
    rest = {name: value for name, value in state.items() if name != PROVENANCE}
    return {**rest, PROVENANCE: {**told, SAVED: saved}}


def _report(
    sealing: Sealing, target: FilePath, parent: Parent | None, notices: tuple[Notice, ...]
) -> SaveReport:
    linked = sum(file.nbytes for file in sealing.files if file.linked)
    if sealing.old_left is not None:
        message = f"the replaced checkpoint could not be removed: {sealing.old_left.name}"
        notices = (*notices, Notice("warning", "old-left", message, str(sealing.old_left)))
    return SaveReport(
        path=target,
        sections=sealing.sections,
        files=sealing.files,
        tensors=sealing.tensors,
        tensor_nbytes=sealing.tensor_nbytes,
        written_nbytes=sum(file.nbytes for file in sealing.files)
        - linked
        + sealing.manifest_nbytes,
        linked_nbytes=linked,
        digest=sealing.digest,
        parent="" if parent is None else parent.digest,
        notices=notices,
    )
