"""``inspect`` for people: counts first, then what is odd, then what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ckptkit.cli.human import count_text, size_text
from ckptkit.cli.inspect_view import Shown, nearest_names
from ckptkit.cli.render_notices import notice_lines
from ckptkit.cli.render_tensors import render_tensors
from ckptkit.cli.render_tree import render_tree
from ckptkit.cli.safe_text import safe, shortened
from ckptkit.cli.screen import facts, lines, table, text
from ckptkit.nodes import Node, Path, TensorNode
from ckptkit.tree.paths import path_text
from ckptkit.verbs.inspect import Inspection
from ckptkit.verbs.outline import describe
from ckptkit.verbs.resume_gaps import lacks_all_but_weights

_MAX_SHOWN = 5
_MAX_DTYPE_CHARS = 40
_MAX_EVIDENCE = 3
_OF_TRAINING = frozenset({"optimizer", "scheduler", "progress", "metrics", "history", "rng"})


def render(shown: Shown) -> Iterator[Any]:
    """Yield what is printed, from top to bottom."""
    found = shown.inspection
    yield text((safe(found.path.name or found.path), "bold"), f"  {size_text(found.nbytes)}")
    if shown.rows is None and shown.tree is None:
        yield from _survey(shown)
    if shown.rows is not None:
        yield ""
        if not shown.rows and shown.view.tensors is not None and found.places:
            yield from _no_match(shown)
            return
        yield from render_tensors(shown.rows, every=shown.view.every, stats=shown.view.stats)
    if shown.tree is not None:
        yield ""
        yield from render_tree(shown.tree, every=shown.view.every)


def _no_match(shown: Shown) -> Iterator[Any]:
    wanted = shown.view.tensors or "*"
    where = f" in the section {shown.view.section}" if shown.view.section else ""
    yield text(f"  no tensor matches {wanted!r}{where}; the nearest names are")
    yield from (text(f"  {name}") for name in nearest_names(shown.inspection, wanted))


def _survey(shown: Shown) -> Iterator[Any]:
    yield ""
    yield facts(_identity(shown))
    yield ""
    yield _sections(shown.inspection)
    yield ""
    yield facts(_findings(shown.inspection))


def _identity(shown: Shown) -> Iterator[tuple[str, Any]]:
    found = shown.inspection
    yield "container", shown.container_title
    if found.dialect is not None:
        told = found.dialect
        yield "dialect", text(safe(told.title), (f"  {told.name}, score {told.score}", "dim"))
        why = [safe(reason) for reason in told.evidence[:_MAX_EVIDENCE]]
        if told.runner_up:
            why.append(f"runner-up: {told.runner_up}, score {told.runner_up_score}")
        yield "because", lines(text((reason, "dim")) for reason in why)
    meaning = _meaning(found)
    yield "schema", f"{found.schema_version}{', ' if meaning else ''}{meaning}"
    if found.trainer:
        counted = ", ".join(f"{safe(name)} {n}" for name, n in found.versions if n > 1)
        yield "trainer", text(safe(found.trainer), (f"  {counted}" if counted else "", "dim"))
    yield "progress", _progress(found)
    yield "best", _best(found)


def _meaning(found: Inspection) -> str:
    """What a schema version stands for, where this checkpoint is that."""
    names = {row.name for row in found.sections if row.tensors or row.values}
    if found.schema_version == 2:
        return "sealed"
    if names == {"model"} and found.schema_version == 0:
        return "a bare state_dict"
    if found.schema_version == 1 and "model" in names and names & _OF_TRAINING:
        return "" if found.path.is_dir() else "a training dict"
    return ""


def _progress(found: Inspection) -> str:
    """What is known, and the raw number of the file where it is another one."""
    progress, stored = found.progress, dict(found.progress.as_stored)
    known = (
        ("epoch", progress.epochs_completed, "epoch{} completed"),
        ("step", progress.optimizer_steps, "optimizer step{}"),
        ("samples", progress.samples, "sample{}"),
    )
    parts = []
    for name, value, told in known:
        raw = stored.pop(name, None)
        if value is not None:
            parts.append(f"{_value(value)} {told.format('' if value == 1 else 's')}")
        if raw is not None and raw != value:
            parts.append(f"{name} {_value(raw)} in the file")
    parts += [f"{safe(name)} {_value(value)} in the file" for name, value in stored.items()]
    return ", ".join(parts[:_MAX_SHOWN])


def _best(found: Inspection) -> str:
    best = dict(found.progress.best)
    if not best:
        return ""
    value = best.get("value")
    told = _value(best.get("name", "value")).replace("'", "")
    if value is None:
        return f"{told}, none yet"
    if not isinstance(value, TensorNode):
        told += f" {_value(value)}".replace("'", "")
    if best.get("mode") is not None:
        told += f" ({_value(best['mode'])})".replace("'", "")
    if best.get("epoch") is not None:
        told += f" in epoch {_value(best['epoch'])}"
    if isinstance(value, TensorNode):
        told += ", in the file as a tensor (read it with --stats)"
    return told


def _value(node: Node) -> str:
    if isinstance(node, int) and not isinstance(node, bool) and abs(node) < 1 << 64:
        return f"{node:,}"
    return describe(node)[1]


def _sections(found: Inspection) -> Any:
    several = len(found.sections) > 1
    return table(
        ("section", "tensors", "parameters", "bytes", "values", "files"),
        [
            (
                safe(row.name),
                f"{row.tensors:,}" if row.tensors else "",
                f"{row.parameters:,}" if row.tensors else "",
                size_text(row.nbytes) if row.tensors else "",
                f"{row.values:,}" if row.values else "",
                f"{row.files:,}" if row.files else "",
            )
            for row in (*found.sections, *([found.total] if several else []))
        ],
        numbers=("tensors", "parameters", "bytes", "values", "files"),
        optional=("files", "values"),
        last_is_total=several,
    )


def _findings(found: Inspection) -> Iterator[tuple[str, Any]]:
    yield "values", _some([f"{safe(name)} {_value(value)}" for name, value in found.scalars])
    yield (
        "dtypes",
        ", ".join(
            f"{shortened(safe(row.dtype), _MAX_DTYPE_CHARS)} {count_text(row.tensors, 'tensor')}"
            f" {size_text(row.nbytes)}"
            for row in found.dtypes[: _MAX_SHOWN + 3]
        ),
    )
    ties, shared, slack = found.sharing
    yield "tied", _some([" = ".join(_names(tie.paths)) for tie in ties])
    yield "shared", _some([
        f"{count_text(len(row.paths), 'view')} of a storage of {size_text(row.nbytes)}: "
        + ", ".join(_names(row.paths))
        for row in shared
    ])  # fmt: skip
    if slack:
        freed = size_text(sum(row.freed_nbytes for row in slack))
        storages = count_text(len(slack), "storage")
        told = [f"sealing frees {freed} of {storages} larger than what is used of them"]
        for row in slack[:_MAX_SHOWN]:
            sizes = f"{size_text(row.freed_nbytes)} of {size_text(row.nbytes)}"
            told.append(f"{', '.join(_names(row.paths))}: {sizes} are not used")
        yield "slack", lines(told)
    yield "a resume lacks", _gaps(found)
    yield "notes", notice_lines(found.notices)
    yield "pickle", _pickle(found)


def _gaps(found: Inspection) -> Any:
    """What is missing; of bare weights nothing is expected, so one line says it all."""
    if not found.gaps:
        return ""
    names = [gap.section for gap in found.gaps]
    if lacks_all_but_weights(found.gaps):
        return f"everything but the weights ({', '.join(names)})"
    return lines(text((gap.section, "yellow"), f": {gap.effect}") for gap in found.gaps)


def _names(paths: tuple[Path, ...]) -> list[str]:
    names = [path_text(path) for path in paths[:4]]
    return [*names, f"{len(paths) - 4} more"] if len(paths) > 4 else names


def _some(told: list[str]) -> Any:
    more = [f"and {len(told) - _MAX_SHOWN:,} more"] if len(told) > _MAX_SHOWN else []
    return lines([*told[:_MAX_SHOWN], *more]) if told else ""


def _pickle(found: Inspection) -> Any:
    """Names that an unpickler would call and that are not those of an honest checkpoint."""
    from ckptkit.cli.danger import summarise

    return summarise(found)
