"""The verb ``recover``: what a cut or damaged checkpoint still holds, as a sealed folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

from ckptkit.containers.salvage import Findings, leaves
from ckptkit.errors import CkptkitError, CorruptFileError, LossFoundError, WriteFailedError
from ckptkit.nodes import MapNode, SeqNode, TensorNode
from ckptkit.report.human import count_text
from ckptkit.storage.leftovers import parse_leftover
from ckptkit.types import DEFAULT_LIMITS, SEALED_CONTAINER, Limits, Notice
from ckptkit.verbs.migrate import check_growth
from ckptkit.verbs.origin import own_name, with_origin, with_renamed_files
from ckptkit.verbs.recovering.finding import find
from ckptkit.verbs.recovering.found import Found
from ckptkit.verbs.recovering.half_states import HalfState, set_half_states_aside
from ckptkit.verbs.recovering.pruning import Lost, prune
from ckptkit.verbs.recovering.tally import SectionTally, tally
from ckptkit.verbs.recovering.telling import with_raw, with_recovery
from ckptkit.verbs.seal import Sealing, SealOptions, SealPlan, plan_seal, seal
from ckptkit.verbs.targets import check_target

__all__ = ["HalfState", "Lost", "RecoverOptions", "RecoveryReport", "SectionTally", "recover"]

MAX_TOLD = 3  # reasons in an error


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverOptions:
    """How to recover. ``created`` is the time to record (ISO 8601), empty for none.

    ``progress`` is called with (bytes done since the last call); ``started`` with the bytes that
    the next round of work will move.
    """

    dialect: str | None = None
    limits: Limits = DEFAULT_LIMITS
    dry_run: bool = False
    replace: bool = False
    created: str = ""
    workers: int = 2
    started: Callable[[int], None] | None = None
    progress: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryReport:
    """What was saved, or with a dry run could be; what is lost and why; what is not proved.

    ``sealing`` is what lies in the target. ``guessed`` says, in words, what of the saved part
    rests on damaged ground; where it is empty, every byte is what was written as far as the
    format can tell. ``half`` are the states of parameters that lost a part: what is left of them
    lies in ``extra/incomplete_state``. ``tallies`` has a line for each section with tensors.
    """

    source: FilePath
    target: FilePath
    container: str
    dialect: str
    sealing: Sealing
    lost: tuple[Lost, ...]
    guessed: tuple[str, ...]
    half: tuple[HalfState, ...] = ()
    tallies: tuple[SectionTally, ...] = ()
    notices: tuple[Notice, ...] = ()
    dry_run: bool = False

    @property
    def saved_tensors(self) -> int:
        """How many tensors are in the target; ties count once."""
        return self.sealing.tensors

    @property
    def saved_nbytes(self) -> int:
        """The bytes of those."""
        return self.sealing.tensor_nbytes

    def finding(self) -> LossFoundError | None:
        """The loss as an error of its exit code; None if everything came back, and for sure."""
        if not self.lost and not self.guessed:
            return None
        seen = count_text(len(self.lost), "part") + " lost"
        return LossFoundError(self.source, seen if self.lost else "; ".join(self.guessed))


def recover(
    source: FilePath | str, target: FilePath | str, options: RecoverOptions | None = None
) -> RecoveryReport:
    """Save every whole tensor and plain value of ``source`` into a sealed folder ``target``.

    The result says in its provenance what it lacks. The source is only read.
    Raises: TargetExistsError, WriteFailedError; LockedError for a save that still runs;
    ContainerError if nothing can be saved; whatever reading and writing raise. After an error
    there is no target.
    """
    try:
        return _recover(FilePath(source), FilePath(target), options or RecoverOptions())
    except CkptkitError as exc:
        exc.rescue = ""  # this was the rescue
        raise


def _recover(source: FilePath, target: FilePath, options: RecoverOptions) -> RecoveryReport:
    check_target(source, target, replace=options.replace, limits=options.limits)
    _require_away_from_leftover(source, target)
    if options.started is not None:
        options.started(_nbytes_of(source))
    findings = Findings(options.progress)
    found = find(source, options.dialect, options.limits, findings)
    with found.checkpoint as checkpoint:
        lost = (
            *prune(checkpoint.document, findings, options.limits),
            *(Lost(*one) for one in findings.gone),
        )
        _require_something(found, lost)
        document, half = set_half_states_aside(checkpoint.document, [one.path for one in lost])
        tallies = tally(document, lost, half)
        found = _with_document(found, with_raw(document, findings.raw))
        plan = _plan(found, lost, findings, options.limits)
        sealing = plan.as_sealing()
        if not options.dry_run:
            sealing = seal(plan, target, _seal_options(found, options))
    return RecoveryReport(
        source=source, target=target, container=checkpoint.opened.container,
        dialect=checkpoint.verdict.dialect.name if checkpoint.verdict else "",
        sealing=sealing, lost=lost, guessed=tuple(findings.guessed), half=half, tallies=tallies,
        notices=(*checkpoint.notices, *findings.notices), dry_run=options.dry_run,
    )  # fmt: skip


def _require_away_from_leftover(source: FilePath, target: FilePath) -> None:
    """Refuse to write beside what a dead save left: whoever writes there removes that first.

    Raises: WriteFailedError.
    """
    if parse_leftover(source) is None:
        return
    if os.path.realpath(target.parent) == os.path.realpath(source.parent):
        raise WriteFailedError(
            target, "lies beside the leftover of a dead save, which every writer there removes",
            "another folder", "name a DST elsewhere",
        )  # fmt: skip


def _nbytes_of(source: FilePath) -> int:
    try:
        if source.is_dir():
            return sum(path.stat().st_size for path in source.iterdir() if path.is_file())
        return source.stat().st_size
    except OSError:  # opening it says what is wrong
        return 0


def _with_document(found: Found, document: MapNode) -> Found:
    return replace(found, checkpoint=replace(found.checkpoint, document=document))


def _require_something(found: Found, lost: tuple[Lost, ...]) -> None:
    """Refuse a checkpoint without a byte of the tensors that it had. Raises: CorruptFileError."""
    tensors = leaves(found.checkpoint.document) if lost else []
    if not lost or any(isinstance(leaf, TensorNode) and leaf.nbytes for leaf in tensors):
        return
    reasons = dict.fromkeys(f"{one.name}: {one.reason}" for one in lost[:MAX_TOLD])
    raise CorruptFileError(
        found.checkpoint.path, f"nothing of it can be saved: {count_text(len(lost), 'part')} lost "
        f"({'; '.join(reasons)}{' ...' if len(lost) > MAX_TOLD else ''})",
        "one whole tensor", "use an older checkpoint",
    )  # fmt: skip


def _plan(found: Found, lost: tuple[Lost, ...], findings: Findings, limits: Limits) -> SealPlan:
    checkpoint = found.checkpoint
    is_sealed = checkpoint.opened.container == SEALED_CONTAINER
    document = checkpoint.document if is_sealed else with_origin(checkpoint)
    saved = sum(isinstance(leaf, TensorNode) for leaf in leaves(document))
    facts = {
        "name": own_name(checkpoint.path), "nbytes": checkpoint.opened.nbytes,
        "container": checkpoint.opened.container, "saved": saved,
        "guessed": SeqNode([*findings.guessed]),
    }  # fmt: skip
    document = with_recovery(document, facts, lost)
    plan = plan_seal(document, found.side_files, limits, found.split)
    check_growth(plan, checkpoint, limits)
    if is_sealed or not plan.renamed_files:
        return plan
    document = with_renamed_files(document, plan.renamed_files)
    return plan_seal(document, found.side_files, limits, found.split)


def _seal_options(found: Found, options: RecoverOptions) -> SealOptions:
    return SealOptions(
        replace=options.replace, label=found.label._replace(created=options.created),
        workers=options.workers, started=options.started, progress=options.progress,
    )  # fmt: skip
