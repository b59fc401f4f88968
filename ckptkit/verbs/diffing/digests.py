"""The digest of every tensor that has to be compared: recorded, or of the bytes themselves."""

from __future__ import annotations

from collections.abc import Iterable

from ckptkit.containers.logical import logical_source
from ckptkit.errors import ChecksumError
from ckptkit.nodes import TensorNode
from ckptkit.storage.digest import digest_many
from ckptkit.verbs.diffing.pairing import Tensor
from ckptkit.verbs.diffing.values import DiffOptions
from ckptkit.verbs.open import Checkpoint


def recorded_digests(checkpoint: Checkpoint) -> dict[int, bytes]:
    """What a sealed checkpoint says of its tensors and files: id of the storage -> digest.

    The id of a file's ByteSource stands for it, because nobody else has a tensor there.
    """
    sealed = checkpoint.sealed
    if sealed is None:
        return {}
    table = sealed.manifest.tensors
    found = {
        id(leaf.storage): table.digest(row)
        for row, leaf in enumerate(sealed.leaves)
        if isinstance(leaf, TensorNode)
    }
    files = checkpoint.opened.root["files"]
    for entry in sealed.manifest.files:
        if entry.kind != "data" and entry.digest:
            found[id(files[entry.name].source)] = entry.digest
    return found


class DigestBook:
    """Digests of both checkpoints, each tensor read at most once.

    A digest that is recorded is believed, or with ``verify`` held against the bytes.
    """

    def __init__(self, recorded: dict[int, bytes], options: DiffOptions) -> None:
        self._recorded, self._options = recorded, options
        self.of_node: dict[int, bytes] = {}  # id of the node -> digest
        self._of_view: dict[object, bytes] = {}

    def learn(self, tensors: Iterable[Tensor]) -> None:
        """Make sure of the digests of these; meta tensors have none.

        Raises: ChecksumError with ``verify``; ContainerError.
        """
        todo: dict[object, Tensor] = {}
        wanted = [t for t in tensors if t.node.storage.source is not None]
        for tensor in wanted:
            view = tensor.node.same_view()
            if view in self._of_view or view in todo:
                continue
            known = self._known(tensor)
            if known is None or self._options.verify:
                todo[view] = tensor
            else:
                self._of_view[view] = known
        self._hash(todo)
        for tensor in wanted:
            self.of_node[id(tensor.node)] = self._of_view[tensor.node.same_view()]

    def _known(self, tensor: Tensor) -> bytes | None:
        storage = tensor.node.storage
        return self._recorded.get(id(storage)) or self._recorded.get(id(storage.source))

    def _hash(self, todo: dict[object, Tensor]) -> None:
        if not todo:
            return
        sources = [logical_source(tensor.node) for tensor in todo.values()]
        options = self._options
        if options.started is not None:
            options.started("hashing", sum(source.nbytes for source in sources))
        digests = digest_many(sources, workers=options.workers, progress=options.progress)
        for (view, tensor), digest in zip(todo.items(), digests, strict=True):
            known = self._known(tensor)
            if known is not None and known != digest:
                raise ChecksumError(
                    tensor.side.place, f"its bytes have the digest {digest.hex()}",
                    f"{known.hex()}, which the manifest says",
                    "the checkpoint is damaged: ckptkit verify names all of the damage",
                )  # fmt: skip
            self._of_view[view] = digest
