"""Whether a checkpoint would load into a model that a factory makes: a plan, and nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ckptkit.report.values import LoadReport
from ckptkit.verbs.factory import Factory, build_module, build_optimizer, import_bridge


def check(
    path: Path | str,
    model: Factory,
    *,
    section: str = "model",
    optimizer: Factory | None = None,
    device: str = "meta",
    **options: Any,
) -> LoadReport:
    """Plan the restore of ``section`` into the factory's model, made on ``device``; touch nothing.

    ``optimizer`` makes one of the model, which is then planned, too. ``options`` are those of
    ``ckptkit.plan_restore``. The path is looked at before the user's code runs.
    Raises: FactoryError, MissingExtraError, and all that ``load`` raises.
    """
    import_bridge()
    from ckptkit.verbs.restore import plan_restore

    if not os.path.lexists(path):
        from ckptkit.containers.absent import absent

        raise absent(path)
    targets = {section: build_module(model, device)}
    if optimizer is not None:
        targets["optimizer"] = build_optimizer(optimizer, targets[section], device)
    return _without_meta_notes(plan_restore(path, targets, **options))


def _without_meta_notes(report: LoadReport) -> LoadReport:
    """That this model has no memory is our doing; the one that is trained will have some."""
    from ckptkit.verbs.restoring.module_report import META_NOTE

    components = tuple(
        replace(one, notes=tuple(note for note in one.notes if not note.startswith(META_NOTE)))
        for one in report.components
    )
    return replace(report, components=components)
