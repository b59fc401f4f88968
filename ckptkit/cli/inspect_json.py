"""What ``inspect --json`` prints."""

from __future__ import annotations

from typing import Any

from ckptkit.cli.inspect_view import Shown, TensorRow
from ckptkit.cli.json_output import notice_json, paths_json, plain, scan_json
from ckptkit.verbs.inspect import Inspection


def inspection_json(shown: Shown) -> dict[str, Any]:
    """Every field of docs/cli.md, section "inspect"; absent ones are null."""
    found = shown.inspection
    fields: dict[str, Any] = {
        "path": str(found.path),
        "nbytes": found.nbytes,
        "container": found.container,
        "container_title": shown.container_title,
        "schema_version": found.schema_version,
        "dialect": _dialect_json(found),
        "trainer": found.trainer or None,
        "versions": dict(found.versions),
        "progress": _progress_json(found),
        "sections": [row._asdict() for row in found.sections],
        "total": found.total._asdict(),
        "values": {name: plain(value) for name, value in found.scalars},
        "dtypes": [row._asdict() for row in found.dtypes],
        "ties": [
            {"paths": paths_json(tie.paths), "nbytes": tie.nbytes} for tie in found.sharing.ties
        ],
        "shared": [
            row._asdict() | {"paths": paths_json(row.paths)} for row in found.sharing.shared
        ],
        "slack": [row._asdict() | {"paths": paths_json(row.paths)} for row in found.sharing.slack],
        "resume_lacks": [gap._asdict() for gap in found.gaps],
        "notices": [notice_json(notice) for notice in found.notices],
        "pickles": [scan_json(scan) for scan in found.scans],
    }
    if shown.rows is not None:
        fields["tensors"] = [_tensor_json(row) for row in shown.rows]
    if shown.tree is not None:
        fields["tree"] = [row._asdict() for row in shown.tree]
    return fields


def _dialect_json(found: Inspection) -> dict[str, Any] | None:
    return found.dialect._asdict() if found.dialect else None


def _progress_json(found: Inspection) -> dict[str, Any]:
    progress = found.progress
    return {
        "epochs_completed": plain(progress.epochs_completed),
        "optimizer_steps": plain(progress.optimizer_steps),
        "samples": plain(progress.samples),
        "as_stored": {name: plain(value) for name, value in progress.as_stored},
        "epoch_means": progress.epoch_means,
        "step_means": progress.step_means,
        "best": {name: plain(value) for name, value in progress.best} or None,
    }


def _tensor_json(row: TensorRow) -> dict[str, Any]:
    tensor = row.place.tensor
    fields: dict[str, Any] = {
        "section": row.section,
        "name": row.name,
        "dtype": tensor.numpy_dtype or tensor.dtype.name,
        "shape": list(tensor.shape),
        "nbytes": tensor.nbytes,
        "flavour": tensor.flavour,
        "tied_to": row.tied_to or None,
    }
    figures: Any = row.figures
    if figures is not None:
        fields["statistics"] = {
            name: list(value) if isinstance(value, tuple) else plain(value)
            for name, value in figures._asdict().items()
        }
    return fields
