"""What ``diff --json`` prints."""

from __future__ import annotations

from typing import Any

from ckptkit.cli.json_output import notice_json, plain
from ckptkit.nodes import Node, SeqNode
from ckptkit.verbs.diffing.values import (
    Compared,
    DiffReport,
    Figures,
    SettingRow,
    Side,
    TensorRow,
)

_MAX_ITEMS = 64  # of a sequence that is spelled out


def diff_json(report: DiffReport, *, every: bool) -> dict[str, Any]:
    """Every field of docs/cli.md, section "diff"; tensors that are equal only with ``every``."""
    told = [row for row in report.rows if every or row.kind not in ("equal", "alike")]
    return {
        "a": _compared(report.a),
        "b": _compared(report.b),
        "same": report.same,
        "counts": report.counts,
        "tensors": [_tensor(row) for row in told],
        "settings_compared": report.n_settings,
        "settings": [_setting(row) for row in report.settings],
        "notices": [notice_json(notice) for notice in report.notices],
    }


def _compared(one: Compared) -> dict[str, Any]:
    return {**one._asdict(), "path": str(one.path)}


def _tensor(row: TensorRow) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "a": _side(row.a),
        "b": _side(row.b),
        "figures": _figures(row.figures),
        "twin": row.twin or None,
    }


def _side(side: Side | None) -> dict[str, Any] | None:
    return None if side is None else {**side._asdict(), "shape": list(side.shape)}


def _figures(figures: Figures | None) -> dict[str, Any] | None:
    if figures is None:
        return None
    return {
        **figures._asdict(),
        "max_abs": plain(figures.max_abs),
        "relative_l2": plain(figures.relative_l2),
        "n_nan": list(figures.n_nan),
        "n_inf": list(figures.n_inf),
    }


def _setting(row: SettingRow) -> dict[str, Any]:
    return {
        "section": row.section,
        "name": row.name,
        "kind": row.kind,
        "a": _value(row.a),
        "b": _value(row.b),
    }


def _value(node: Node) -> Any:
    if isinstance(node, SeqNode) and len(node) <= _MAX_ITEMS:
        return [plain(item) for item in node.items]
    return plain(node)
