"""The verb ``inspect``: what a checkpoint holds, from its headers alone; reads no tensor byte."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.containers.gc_pause import paused_gc
from ckptkit.nodes import Atom, BlobNode, MapNode, Node, Path, Record, SeqNode, TensorNode
from ckptkit.protocols import StreamScan
from ckptkit.tree import key_text
from ckptkit.tree.numbers import number_of
from ckptkit.types import DEFAULT_LIMITS, Limits, Notice
from ckptkit.verbs.open import Checkpoint, load
from ckptkit.verbs.places import leaf_places
from ckptkit.verbs.progress_words import told_progress
from ckptkit.verbs.resume_gaps import Gap, find_gaps, find_losses
from ckptkit.verbs.sharing import Sharing, find_sharing, number_views

_COMPOUND = (MapNode, SeqNode, Record, TensorNode, BlobNode)


class DialectFinding(NamedTuple):
    """Whose keys they are, how sure that is (0: not asked, a sealed folder), and who came next."""

    name: str
    title: str
    score: int
    evidence: tuple[str, ...]
    runner_up: str
    runner_up_score: int


class SectionRow(NamedTuple):
    """One section. ``parameters`` counts elements; a tied tensor counts once, as on disk."""

    name: str
    tensors: int
    parameters: int
    nbytes: int
    values: int
    files: int


class DtypeRow(NamedTuple):
    """How much of the checkpoint has this element type."""

    dtype: str
    tensors: int
    nbytes: int


class Place(NamedTuple):
    """A tensor where it stands: the section, the path in it, the tensor."""

    section: str
    path: Path
    tensor: TensorNode


class Progress(NamedTuple):
    """How far the run was; None is unknown. ``as_stored`` are the raw values of the file."""

    epochs_completed: Node
    optimizer_steps: Node
    samples: Node
    as_stored: tuple[tuple[str, Node], ...]
    epoch_means: str
    step_means: str
    best: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a checkpoint holds. Units: bytes."""

    path: FilePath
    nbytes: int
    container: str
    schema_version: int
    dialect: DialectFinding | None
    progress: Progress
    sections: tuple[SectionRow, ...]
    total: SectionRow
    dtypes: tuple[DtypeRow, ...]
    sharing: Sharing
    gaps: tuple[Gap, ...]
    notices: tuple[Notice, ...]
    scans: tuple[StreamScan, ...]
    places: tuple[Place, ...]
    scalars: tuple[tuple[str, Node], ...] = ()  # sections that are one value each
    trainer: str = ""  # who saved it and counts the versions of its sections
    versions: tuple[tuple[str, int], ...] = ()


def inspect(
    path: FilePath | str, *, dialect: str | None = None, limits: Limits = DEFAULT_LIMITS
) -> Inspection:
    """Open a checkpoint, survey it, close it.

    Raises: InputError, ContainerError, SchemaError, DialectError.
    """
    with load(path, dialect=dialect, limits=limits) as checkpoint:
        return survey(checkpoint)


def survey(checkpoint: Checkpoint) -> Inspection:
    """Say what an open checkpoint holds; reads no tensor byte."""
    with paused_gc():
        return _survey(checkpoint)


def _survey(checkpoint: Checkpoint) -> Inspection:
    document = checkpoint.document
    tensors: dict[str, list[tuple[Path, TensorNode]]] = {}
    rows = []
    for name, node in document.items():
        section = key_text(name)
        row, tensors[section] = _survey_section(section, node)
        if row.tensors or row.values or row.files:
            rows.append(row)
    places = [Place(name, path, tensor) for name in tensors for path, tensor in tensors[name]]
    flat = [((place.section, *place.path), place.tensor) for place in places]
    views = number_views(flat)
    sizes = {view: tensor.nbytes for (_, tensor), view in zip(flat, views, strict=True)}
    total = SectionRow(
        "total",
        len(flat),
        _parameters(flat, views),
        sum(sizes.values()),
        sum(row.values for row in rows),
        sum(row.files for row in rows),
    )
    return Inspection(
        path=checkpoint.path,
        nbytes=checkpoint.opened.nbytes,
        container=checkpoint.opened.container,
        schema_version=checkpoint.schema_version,
        dialect=_finding(checkpoint),
        progress=_progress(document),
        sections=tuple(rows),
        total=total,
        dtypes=_dtypes(flat, views),
        sharing=find_sharing(flat, views),
        gaps=find_gaps(document, {name: len(rows) for name, rows in tensors.items()}),
        notices=_notices(checkpoint.notices, find_losses(document, tensors)),
        scans=checkpoint.opened.scans,
        places=tuple(places),
        scalars=_scalars(document),
        trainer=checkpoint.trainer,
        versions=tuple(checkpoint.versions.items()),
    )


def _scalars(document: MapNode) -> tuple[tuple[str, Node], ...]:
    return tuple(
        (key_text(name), node)
        for name, node in document.items()
        if node is not None and not isinstance(node, _COMPOUND)
    )


def _notices(told: tuple[Notice, ...], found: tuple[Notice, ...]) -> tuple[Notice, ...]:
    """What readers told, and what we found that none of them told in its own words."""
    codes = {notice.code for notice in told}
    return (*told, *(notice for notice in found if notice.code not in codes))


def _survey_section(name: str, node: Node) -> tuple[SectionRow, list[tuple[Path, TensorNode]]]:
    tensors: list[tuple[Path, TensorNode]] = []
    n_values = n_files = 0
    for path, leaf in leaf_places(node):
        kind = type(leaf)
        if kind is TensorNode:
            tensors.append((path, leaf))
        elif kind is BlobNode:
            n_files += 1
        else:
            # _metadata is no value of a model; a whole section that is None is none either
            n_values += ".attrs" not in path and (bool(path) or leaf is not None)
    views = dict(zip(number_views(tensors), (tensor for _, tensor in tensors), strict=True))
    parameters = sum(tensor.numel for tensor in views.values())
    nbytes = sum(tensor.nbytes for tensor in views.values())
    return SectionRow(name, len(tensors), parameters, nbytes, n_values, n_files), tensors


def _parameters(places: list[tuple[Path, TensorNode]], views: list[int]) -> int:
    """Elements of all sections; what two of them show (a module kept whole) counts once."""
    numels = {view: tensor.numel for (_, tensor), view in zip(places, views, strict=True)}
    return sum(numels.values())


def _dtypes(places: list[tuple[Path, TensorNode]], views: list[int]) -> tuple[DtypeRow, ...]:
    counts: dict[str, int] = {}
    sizes: dict[str, int] = {}
    seen = set()
    for (_, tensor), view in zip(places, views, strict=True):
        name = tensor.numpy_dtype or tensor.dtype.name
        counts[name] = counts.get(name, 0) + 1
        if view not in seen:
            seen.add(view)
            sizes[name] = sizes.get(name, 0) + tensor.nbytes
    rows = [DtypeRow(name, count, sizes.get(name, 0)) for name, count in counts.items()]
    return tuple(sorted(rows, key=lambda row: -row.nbytes))


def _finding(checkpoint: Checkpoint) -> DialectFinding | None:
    verdict = checkpoint.verdict
    if verdict is None:
        return None
    dialect, runner_up = verdict.dialect, verdict.runner_up or ("", 0)
    return DialectFinding(dialect.name, dialect.title, verdict.score, verdict.evidence, *runner_up)


def _progress(document: MapNode) -> Progress:
    node = told_progress(document)
    metrics = document.get("metrics")
    best = metrics.get("best") if isinstance(metrics, MapNode) else None
    return Progress(
        node.get("epochs_completed"),
        node.get("optimizer_steps"),
        node.get("samples"),
        tuple((key, _plain(value)) for key, value in _pairs(node.get("as_stored"))),
        _word(node.get("epoch_means")),
        _word(node.get("step_means")),
        tuple(pair for pair in _pairs(best) if pair[0] != "as_stored"),
    )


def _pairs(node: Node) -> tuple[tuple[str, Node], ...]:
    if not isinstance(node, MapNode):
        return ()
    return tuple((key_text(key), value) for key, value in node.items())


def _plain(node: Node) -> Node:
    """The number in a numpy scalar, for people to read; the document keeps what was stored."""
    number = number_of(node) if isinstance(node, Atom) else None
    return node if number is None else number


def _word(node: Node) -> str:
    return node if type(node) is str else ""
