"""The verb ``export``: any checkpoint as a file or folder that other programs open."""

from __future__ import annotations

from pathlib import Path as FilePath

from ckptkit.errors import LimitExceededError, MismatchError
from ckptkit.nodes import TensorNode
from ckptkit.verbs.danger_notice import danger_notices
from ckptkit.verbs.exporting.hf_folder import plan_hf
from ckptkit.verbs.exporting.safetensors_files import plan_safetensors
from ckptkit.verbs.exporting.selection import WEIGHTS, Selection
from ckptkit.verbs.exporting.target import check_export_target, check_free
from ckptkit.verbs.exporting.torch_file import plan_torch
from ckptkit.verbs.exporting.values import (
    FORMS,
    ExportedFile,
    ExportOptions,
    ExportPlan,
    ExportReport,
)
from ckptkit.verbs.exporting.writing import output_nbytes, write
from ckptkit.verbs.open import Checkpoint, load

__all__ = ["FORMS", "ExportOptions", "ExportReport", "export"]


def export(source: FilePath | str, target: FilePath | str, options: ExportOptions) -> ExportReport:
    """Write ``source`` at ``target`` in the form ``options.to``, verified; the source stays.

    "torch" is a file that ``torch.load(weights_only=True)`` opens, made without torch;
    "safetensors" a plain file, or with several sections a folder of them; "hf" a folder that
    ``from_pretrained`` opens. Memory: a few MiB. After an error there is no target.
    Raises: MismatchError for what the source does not have; UnrepresentableError for what the
    form cannot hold; TargetExistsError, StorageError; whatever opening and writing raise.
    """
    source, target = FilePath(source), FilePath(target)
    if options.to not in FORMS:
        raise MismatchError(target, f"no form {options.to!a}", f"one of {', '.join(FORMS)}")
    if options.config is not None and options.to != "hf":
        raise MismatchError(
            target, f"the form {options.to} has no config", "the form hf", "leave --config out"
        )
    check_export_target(source, target)
    with load(source, dialect=options.dialect, limits=options.limits) as checkpoint:
        selection = Selection(checkpoint, options)
        plan = _plan(checkpoint, selection, target, options)
        check_free(target, plan, replace=options.replace, limits=options.limits)
        _check_growth(plan, checkpoint, options)
        if not options.dry_run:
            write(plan, target, options)
        return _report(checkpoint, selection, plan, target, options)


def _plan(
    checkpoint: Checkpoint, selection: Selection, target: FilePath, options: ExportOptions
) -> ExportPlan:
    sections, named = selection.sections, options.sections
    if options.to == "torch":
        alone = len(sections) == 1 and (len(named) == 1 or options.ema)
        return plan_torch(sections, target.name, alone=alone)
    if options.to == "safetensors":
        return plan_safetensors(sections, target.name, is_folder=len(sections) > 1)
    if len(sections) != 1:
        raise MismatchError(
            target, f"{len(sections)} sections for one folder of weights", "one section",
            "name one with --section, or export with --to safetensors",
        )  # fmt: skip
    return plan_hf(checkpoint, sections, options)


def _check_growth(plan: ExportPlan, checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Stop a small file whose many expanded views would fill the disk.

    Raises: LimitExceededError.
    """
    limits, nbytes = options.limits, sum(output.parts_nbytes for output in plan.outputs)
    most = max(limits.max_growth_nbytes, limits.max_growth_ratio * checkpoint.opened.nbytes)
    if nbytes > most:
        raise LimitExceededError(
            checkpoint.path,
            f"its tensors would take {nbytes:,} bytes once each has its own, and the source has "
            f"{checkpoint.opened.nbytes:,}",
            f"at most {most:,}",
            "if it is meant so, raise --limit max_growth_nbytes=N",
        )


def _report(
    checkpoint: Checkpoint,
    selection: Selection,
    plan: ExportPlan,
    target: FilePath,
    options: ExportOptions,
) -> ExportReport:
    tensors = [node for output in plan.outputs for node, _ in output.tensors]
    return ExportReport(
        source=checkpoint.path,
        target=target,
        to=options.to,
        container=checkpoint.opened.container,
        dialect=checkpoint.dialect,
        sections=plan.sections,
        files=tuple(
            ExportedFile(one.name, _kind(one.kind, plan), output_nbytes(one), len(one.tensors))
            for one in plan.outputs
        ),
        tensors=len(tensors),
        tensor_nbytes=_nbytes(tensors),
        missing=plan.missing,
        left_out=plan.left_out,
        notices=(
            *danger_notices(checkpoint.opened),
            *checkpoint.notices,
            *selection.notices,
            *plan.notices,
        ),
        dry_run=options.dry_run,
        proved=not options.dry_run,
    )


def _kind(kind: str, plan: ExportPlan) -> str:
    """What a file is: with more than weights in it, it is a checkpoint."""
    is_more = not plan.is_folder and not set(plan.sections) <= set(WEIGHTS)
    return "checkpoint" if kind == "weights" and is_more else kind


def _nbytes(tensors: list[TensorNode]) -> int:
    """Bytes that are stored: of ties once."""
    views = {node.same_view(): node.nbytes for node in tensors}
    return sum(views.values())
