"""The verb ``restore``: a checkpoint of any kind fills live objects, and says what it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from ckptkit.report.values import LoadReport
from ckptkit.types import DEFAULT_LIMITS, Limits
from ckptkit.verbs.restoring.asked_for import (
    Conflicts,
    Globs,
    OnShape,
    Renames,
    RestoreOptions,
    asked_for,
)
from ckptkit.verbs.restoring.run import Source, run_restore


def restore(
    path: Source,
    targets: Mapping[str, Any],
    *,
    mode: str = "resume",
    allow_missing: Globs = False,
    allow_unexpected: Globs = False,
    rename: Renames = (),
    apply_proposals: bool = False,
    on_shape: OnShape = "error",
    min_coverage: float = 0.5,
    cast: str = "report",
    on_conflict: Conflicts = "checkpoint",
    use: str = "raw",
    device: Any = None,
    dialect: str | None = None,
    trainer: str = "",
    migrators: Sequence[Any] = (),
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> LoadReport:
    """Fill ``targets`` (section name -> live object) from a checkpoint of any dialect, in place.

    Bytes go straight from the file into the memory of the parameters, and digests are checked on
    the way. Everything is planned first: if anything does not fit, nothing is changed and the
    error carries the whole report. A mapping of objects is walked on both sides.

    ``mode``: "resume" fills all that is asked for; "warm-start" modules alone; "fork" all but
    schedules, data and progress. What a mode leaves stays as it is, and the report says so.
    ``allow_missing``, ``allow_unexpected``: True, or globs of names (of components, too) that may
    be absent on the one side. ``rename``: stored to wanted names, exact or (regex, replacement).
    ``apply_proposals``: take likely renames instead of proposing them. ``on_shape``: "error",
    "skip", "slice" (the common corner), or a function (name, stored, live) -> tensor.
    ``min_coverage``: the least part of the parameters, and of their bytes, that must be filled;
    nothing at all is always an error. ``cast``: "report" converts other dtypes, "error" refuses.
    ``on_conflict``: whose hyper-parameters win: "checkpoint", "current" or "error"; or a mapping
    of fields to these, "*" for all others. ``use``: "ema" fills modules with averaged weights.
    ``device``: where a meta-device model gets its memory. ``dialect``: whose keys they are.
    ``trainer``, ``migrators``: whose migrators are applied in memory before anything is matched.
    ``workers`` threads read; ``progress`` gets the bytes done since its last call.

    Raises: MismatchError, CoverageError, OptimizerMatchError, SettingConflictError (nothing was
    changed); ChecksumError and other ContainerErrors (the objects are partly filled); InputError,
    SchemaError, DialectError; ValueError for a word that is none; MissingExtraError without torch.
    """
    asked = asked_for(
        mode=mode, allow_missing=allow_missing, allow_unexpected=allow_unexpected, rename=rename,
        apply_proposals=apply_proposals, on_shape=on_shape, min_coverage=min_coverage, cast=cast,
        on_conflict=on_conflict, use=use, device=device, dialect=dialect, trainer=trainer,
        migrators=migrators, workers=workers, progress=progress, limits=limits,
    )  # fmt: skip
    return run_restore(path, targets, asked, planned=False)


def plan_restore(
    path: Source, targets: Mapping[str, Any], **options: Unpack[RestoreOptions]
) -> LoadReport:
    """Say what ``restore`` with the same options would do; touch nothing and raise no mismatch.

    The targets may lie on the meta device. ``report.ok`` says whether nothing is refused.
    Raises: as ``restore``, but for what does not fit.
    """
    defaults: dict[str, Any] = restore.__kwdefaults__ or {}
    asked = asked_for(**{**defaults, **options})
    return run_restore(path, targets, asked, planned=True)
