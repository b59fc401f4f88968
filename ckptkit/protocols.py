"""What a part must offer to be one: containers, dialects, migrators, ours and anybody's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import NamedTuple, Protocol

from ckptkit.errors import ContainerError
from ckptkit.nodes import MapNode, Node, Path
from ckptkit.types import Limits, Notice

# -- containers: bytes <-> a tree with lazy tensors -----------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What is known of a path before anybody opens it; containers choose by this alone.

    ``head`` is the first 4,096 bytes of a file (fewer if it is shorter), empty for a folder.
    ``names`` is what a folder holds (plain names, sorted), empty for a file.
    """

    path: FilePath
    is_dir: bool
    nbytes: int
    head: bytes = b""
    names: tuple[str, ...] = ()


class GlobalUse(NamedTuple):
    """One name of one pickle stream, and what the stream would do with it.

    ``how``: "named" (only pushed or passed), "called" (REDUCE, NEWOBJ, INST, OBJ, EXT),
    "built" (BUILD, APPEND, SETITEM on what it made). ``offset`` is where it is named first.
    ``harmless``: every use was looked at, and its arguments make it so (``danger.excuses``).
    """

    stream: str
    module: str
    qualname: str
    how: str
    times: int
    offset: int
    harmless: bool = False


class StreamScan(NamedTuple):
    """What one pickle stream would do. ``error`` is why its reading ended early, if it did."""

    stream: str
    uses: tuple[GlobalUse, ...]
    notices: tuple[Notice, ...] = ()
    error: ContainerError | None = None


class Check(NamedTuple):
    """The outcome of verifying one thing: an entry, a tensor, a file.

    ``outcome``: "ok", "damaged" (message says how), "unverifiable" (nothing to check it by).
    ``by`` is what it was checked by: "xxh3-128", "crc32", "structure".
    """

    name: str
    nbytes: int
    outcome: str
    by: str
    message: str = ""


def _no_checks() -> Iterator[Check]:
    return iter(())


def _nothing_to_close() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An opened container: its tree, and what it says of itself. Close it after use.

    ``nbytes`` counts every byte of the file or folder. ``properties`` are facts of the container
    (format version, byte order, a safetensors ``__metadata__``), as nodes. ``checks`` reads
    every byte and yields one Check a piece; it never raises for damage.
    ``files`` are all files that were read of a folder, or of a file that names others; empty
    means ``path`` itself, if that is a file.
    """

    path: FilePath
    container: str
    nbytes: int
    root: Node
    properties: Mapping[str, Node] = field(default_factory=dict)
    scans: tuple[StreamScan, ...] = ()
    notices: tuple[Notice, ...] = ()
    files: tuple[FilePath, ...] = ()
    checks: Callable[[], Iterator[Check]] = _no_checks
    close: Callable[[], None] = _nothing_to_close


OpenFile = Callable[[FilePath], Opened]  # opens a file of a folder through the registry


class Container(Protocol):
    """A way in which bytes hold a checkpoint. Stateless; registered once a process."""

    name: str  # "torch-zip"; what ``--json`` and errors say
    title: str  # "PyTorch zip file (torch.save, 1.6 and later)"
    rank: int  # containers are asked in this order, lowest first; the first match wins

    def matches(self, probe: Probe) -> bool:
        """Say whether the content is of this kind; the name of the file does not count."""

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:
        """Read the structure, no tensor bytes. Raises: ContainerError."""

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow every pickle stream in it to its end or its breakage; never raises for those."""


# -- dialects: whose keys mean what ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceView:
    """What a dialect looks at: the tree of an opened container and where it came from."""

    root: Node
    container: str
    name: str  # the last component of the path, such as "epoch=3-step=40.ckpt"
    properties: Mapping[str, Node] = field(default_factory=dict)


class Recognition(NamedTuple):
    """How sure a dialect is: ``score`` 1 to 100, and the evidence in words, best first."""

    score: int
    evidence: tuple[str, ...]


class Move(NamedTuple):
    """A subtree that went, unchanged, from ``source`` to ``target``.

    ``renamed`` maps old to new names of its direct children where those changed (a stripped
    ``module.``); names that are not in it stayed. ``note`` is for the report.
    """

    source: Path
    target: Path
    renamed: Mapping[str, str] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A checkpoint in the words of the schema: a version 0 or version 1 document.

    Version 0 is the bare mapping of names to tensors; version 1 the training dict with the keys
    of docs/format.md section "Version 1". Every leaf of the source lies under some move.
    """

    version: int
    document: MapNode
    moves: tuple[Move, ...]
    notices: tuple[Notice, ...] = ()


class Dialect(Protocol):
    """How another project names and nests its keys."""

    name: str  # "lightning"; what ``--dialect`` takes
    title: str  # "PyTorch Lightning .ckpt"

    def recognise(self, view: SourceView) -> Recognition | None:
        """Score the tree by its keys, or None if it is none of ours. Pure; reads no tensor."""

    def interpret(self, view: SourceView) -> Reading:
        """Place every key. Only called on a tree that was recognised, or named by the user."""


# -- migrators: one version of a trainer's section to the next ------------------------------------


class Operation(Protocol):
    """One change of a mapping of names to tensors; ``ckptkit.algebra`` has them."""

    def apply(self, state: Mapping[str, Node]) -> tuple[dict[str, Node], tuple[object, ...]]:
        """Return the new state and what was done. Pure; reads no tensor. Raises: MigrationError."""

    def inverse(self) -> Operation:
        """Return the operation that takes it back. Raises: MigrationError if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionMigrator:
    """What leads from version ``start`` of a trainer's section to version ``stop``, and back.

    ``section`` is a section of the version 2 document. For ``model`` and other mappings of names
    to tensors its operations take the names; what follows from them for averaged weights and for
    the optimizer is done by itself. ``title`` is one line for the report.
    """

    trainer: str
    section: str
    start: int
    stop: int
    title: str
    operations: tuple[Operation, ...] = ()

    @property
    def name(self) -> str:
        """Where it begins: no two migrators begin at one place."""
        return f"{self.trainer} {self.section} {self.start}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a trainer does with a finished checkpoint: ``ckptkit sample``, ``ckptkit evaluate``.

    ``options`` and ``call`` are "module:name". ``options`` is a dataclass like a trainer's config;
    ``call(checkpoint, config, options)`` gets the path, the trainer's config with the settings of
    the checkpoint, and the options; it returns what to show, as plain data.
    """

    name: str
    title: str
    options: str
    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """A training program, named by strings, so that offering it imports nothing.

    ``config`` is "module:name" of a dataclass whose module imports no torch. The metadata of its
    fields may hold "help", "choices", and "resume" ("free", the default, or "architecture").
    ``train`` is "module:name" of ``train(config, folder, **run_options)``, which hands
    ``run_options`` to ``ckptkit.Run`` as they are. ``needs`` are the import names of the libraries
    that it cannot do without, ``install`` is what to install where one of them is missing.
    ``versions`` are those of the sections that its migrators lead to.
    """

    name: str
    title: str
    config: str
    train: str
    actions: tuple[Action, ...] = ()
    needs: tuple[str, ...] = ()
    install: str = ""
    versions: Mapping[str, int] = field(default_factory=dict)
