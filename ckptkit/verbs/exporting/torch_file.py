"""A ``.pt`` file as torch.save lays it out, planned without torch."""

from __future__ import annotations

from collections.abc import Mapping

from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.containers.pickle_writer import dump_pickle
from ckptkit.containers.zip_writer import EntryToWrite, ZipLayout, lay_out
from ckptkit.nodes import ByteSource, Node, TensorNode
from ckptkit.tree import walk
from ckptkit.verbs.exporting.plain_data import PlainData
from ckptkit.verbs.exporting.training_dict import training_dict
from ckptkit.verbs.exporting.values import ExportPlan, PlannedOutput

ROOT = "archive"


def plan_torch(sections: Mapping[str, Node], name: str, *, alone: bool) -> ExportPlan:
    """Plan the file ``name``: one section by itself if ``alone``, else a dict of sections.

    Raises: UnrepresentableError for a tuple inside itself.
    """
    plain = PlainData()
    tree = plain.rebuild(next(iter(sections.values())) if alone else training_dict(sections))
    pickled = dump_pickle(tree)
    parts: list[ByteSource] = [MemoryBytes(pickled.data)]
    names = [f"{ROOT}/data.pkl"]
    for entry, content in (
        (".format_version", b"1"), (".storage_alignment", b"64"), ("byteorder", b"little"),
    ):  # fmt: skip
        names.append(f"{ROOT}/{entry}")
        parts.append(MemoryBytes(content))
    first = len(parts)
    for key, tensor in enumerate(pickled.tensors):
        names.append(f"{ROOT}/data/{key}")
        assert tensor.storage.source is not None
        parts.append(tensor.storage.source)
    names.append(f"{ROOT}/version")
    parts.append(MemoryBytes(b"3\n"))
    part_of = {t.same_view(): first + key for key, t in enumerate(pickled.tensors)}
    tensors = tuple(
        (node, part_of[node.same_view()])
        for _, node in walk(tree)
        if isinstance(node, TensorNode) and node.same_view() in part_of
    )
    output = PlannedOutput(name, "weights", b"", tuple(parts), tree, tensors, tuple(names))
    return ExportPlan(
        outputs=(output,), sections=tuple(sections), is_folder=False,
        left_out=tuple(plain.left_out), notices=tuple(plain.notices()),
    )  # fmt: skip


def zip_layout(output: PlannedOutput, crcs: list[int] | None = None) -> ZipLayout:
    """What stands around the parts; without checksums it has the right size and no more."""
    told = crcs or [0] * len(output.parts)
    rows = zip(output.entries, output.parts, told, strict=True)
    return lay_out([EntryToWrite(name, part.nbytes, crc) for name, part, crc in rows])
