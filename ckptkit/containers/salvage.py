"""What a recovery learns on its way: which bytes are lost and why, and what it had to guess."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ckptkit.containers.logical import logical_source
from ckptkit.errors import ContainerError
from ckptkit.nodes import BlobNode, ByteSource, Node, Storage, TensorNode
from ckptkit.tree.parts import SCALARS, parts
from ckptkit.types import Notice

RAW_KEY = "recovered_storages"  # below `extra`: records that no readable tensor names
_CHUNK_NBYTES = 1 << 20


class Gone(NamedTuple):
    """Something that is lost. ``shape`` is None, ``dtype`` "" where nothing says them."""

    name: str
    shape: tuple[int, ...] | None
    dtype: str
    reason: str


class Findings:
    """The losses and guesses of one recovery; every reader of damaged bytes adds to it.

    ``gone`` names what stands in no tree any more: all of a missing shard, a broken description.
    ``raw`` are records that a broken pickle names no more: file name -> key -> its bytes.
    ``progress`` is called with the bytes that were checked since its last call.
    """

    def __init__(self, progress: Callable[[int], None] | None = None) -> None:
        self.gone: list[Gone] = []
        self.guessed: list[str] = []
        self.notices: list[Notice] = []
        self.raw: dict[str, dict[str, TensorNode]] = {}
        self.progress = progress
        self._reasons: dict[int, tuple[object, str]] = {}
        self._sound: dict[int, object] = {}

    def lose(self, what: Storage | TensorNode | BlobNode, reason: str) -> None:
        """Say that these bytes are not what they were, or not there at all."""
        self._reasons.setdefault(id(what), (what, reason))

    def why_lost(self, tensor: TensorNode | BlobNode) -> str:
        """The reason why a leaf cannot be saved; empty if it can."""
        found = self._reasons.get(id(tensor))
        if found is None and isinstance(tensor, TensorNode):
            found = self._reasons.get(id(tensor.storage))
        return found[1] if found else ""

    def keep(self, storage: Storage) -> None:
        """Say that the bytes of a storage were checked, so that nobody reads them again."""
        self._sound[id(storage)] = storage

    def guess(self, told: str) -> None:
        """Say, once, what is not proved of what is saved."""
        if told not in self.guessed:
            self.guessed.append(told)

    def advance(self, nbytes: int) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(nbytes)

    def check(self, root: Node) -> bool:
        """Read every storage below ``root`` to its end; say whether all of them are sound."""
        sound = True
        for leaf in leaves(root):
            if not self.why_lost(leaf):
                try:
                    if isinstance(leaf, BlobNode):
                        read_through(leaf.source, self.advance)
                    else:
                        self._check_tensor(leaf)
                except ContainerError as exc:
                    self.lose(leaf, exc.seen)
            sound = sound and not self.why_lost(leaf)
        return sound

    def _check_tensor(self, tensor: TensorNode) -> None:
        """Read the storage, once; then what only this tensor asks for. Raises: ContainerError."""
        storage = tensor.storage
        if storage.source is None:
            return
        if id(storage) not in self._sound:
            try:
                read_through(storage.source, self.advance)
            except ContainerError as exc:
                self.lose(storage, exc.seen)
                return
            self.keep(storage)
        if tensor.rule is not None or tensor.conj or tensor.neg:
            source = logical_source(tensor)
            source.read_into(0, memoryview(bytearray(min(1, source.nbytes))))


def leaves(root: Node) -> list[TensorNode | BlobNode]:
    """Every tensor and blob below ``root``, once; their paths, which may be long, nobody builds."""
    found: list[TensorNode | BlobNode] = []
    pending, met = [root], set[int]()
    while pending:
        node = pending.pop()
        if id(node) in met or type(node) in SCALARS:
            continue
        met.add(id(node))
        if isinstance(node, (TensorNode, BlobNode)):
            found.append(node)
        pending += [child for _, child in parts(node)]
    found.reverse()  # the last part was looked at first
    return found


def read_through(source: ByteSource, advance: Callable[[int], None]) -> None:
    """Read every byte, from front to back. Raises: ContainerError."""
    buffer = memoryview(bytearray(min(_CHUNK_NBYTES, source.nbytes)))
    for start in range(0, source.nbytes, _CHUNK_NBYTES):
        out = buffer[: min(_CHUNK_NBYTES, source.nbytes - start)]
        source.read_into(start, out)
        advance(out.nbytes)
