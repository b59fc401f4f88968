"""Plain safetensors files: one a section, with the names that a state_dict has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ckptkit.containers.logical import logical_source
from ckptkit.containers.safetensors_header import DTYPE_OF_CODE, alignment_order, dump_header
from ckptkit.errors import UnrepresentableError
from ckptkit.nodes import MapNode, Node, Path, Storage, TensorNode
from ckptkit.tree import path_text
from ckptkit.types import Notice, TensorSpec, contiguous_strides
from ckptkit.verbs.diffing.leaves import ATTRIBUTES, section_leaves
from ckptkit.verbs.exporting.values import ExportPlan, LeftOut, PlannedOutput
from ckptkit.verbs.outline import describe

METADATA = {"format": "pt"}  # what transformers asks for
SUFFIX = ".safetensors"
_MAX_SHOWN = 3
_BUDGET = 1 << 24  # leaves


class Named(NamedTuple):
    """A tensor with the name that it has in the file."""

    name: str
    node: TensorNode


def named_tensors(section: str, node: Node) -> tuple[list[Named], list[LeftOut]]:
    """Every tensor of a section by name, and every value that is none.

    Raises: UnrepresentableError for two of one name, and for what safetensors has no dtype for.
    """
    tensors: dict[str, Named] = {}
    left_out = []
    for leaf in section_leaves(section, node, _BUDGET):
        place = f"{section}/{leaf.name}"
        if not isinstance(leaf.node, TensorNode):
            if ATTRIBUTES not in leaf.path:
                left_out.append(LeftOut(place, describe(leaf.node)[1]))
            continue
        name = _name(leaf.path)
        if name in tensors:
            raise UnrepresentableError(
                place, f"a second tensor that would be called {name!a}", "names that differ",
                "export with --to torch",
            )  # fmt: skip
        _check(place, leaf.node)
        tensors[name] = Named(name, leaf.node)
    return list(tensors.values()), left_out


def _name(path: Path) -> str:
    return ".".join(key if type(key) is str else path_text((key,)) for key in path)


def _check(place: str, node: TensorNode) -> None:
    dtype = node.numpy_dtype or node.dtype.name
    if node.storage.source is None:
        raise UnrepresentableError(place, "a meta tensor has no bytes", "a tensor with values")
    if node.numpy_dtype or DTYPE_OF_CODE.get(node.dtype.safetensors) != node.dtype:
        raise UnrepresentableError(
            place, f"safetensors has no {dtype}", "a dtype that it has",
            "export with --to torch, or a section without it",
        )  # fmt: skip


def plan_safetensors(sections: Mapping[str, Node], name: str, *, is_folder: bool) -> ExportPlan:
    """Plan a file for each section: ``name`` itself, or a folder of them.

    Tied tensors are written under each of their names, so that the file stands for itself.
    """
    outputs, left_out, notices = [], list[LeftOut](), list[Notice]()
    for section, node in sections.items():
        tensors, lost = named_tensors(section, node)
        left_out += lost
        if not tensors and is_folder:
            continue
        file_name = f"{section}{SUFFIX}" if is_folder else name
        outputs.append(plan_file(file_name, tensors))
        notices += _tie_notice(section, tensors)
    notices += left_out_notice(left_out)
    return ExportPlan(
        outputs=tuple(outputs), sections=tuple(sections), is_folder=is_folder,
        left_out=tuple(left_out), notices=tuple(notices),
    )  # fmt: skip


def plan_file(name: str, tensors: Sequence[Named]) -> PlannedOutput:
    """Plan one file. Raises: UnrepresentableError, LimitExceededError."""
    specs = [TensorSpec(one.name, one.node.dtype, one.node.shape) for one in tensors]
    order = alignment_order(specs)
    header, _ = dump_header([specs[i] for i in order], METADATA)
    parts = [logical_source(tensors[i].node) for i in order]
    tree = MapNode()
    placed = []
    for place, i in enumerate(order):
        source = parts[place]
        node = TensorNode(
            dtype=specs[i].dtype, shape=specs[i].shape, offset=0,
            strides=contiguous_strides(specs[i].shape),
            storage=Storage(specs[i].name, source.nbytes, source),
        )  # fmt: skip
        tree[specs[i].name] = node
        placed.append((node, place))
    return PlannedOutput(name, "weights", header, tuple(parts), tree, tuple(placed))


def left_out_notice(left_out: Sequence[LeftOut]) -> list[Notice]:
    """Say what safetensors has no room for."""
    if not left_out:
        return []
    shown = ", ".join(one.place for one in left_out[:_MAX_SHOWN])
    more = f" and {len(left_out) - _MAX_SHOWN:,} more" if len(left_out) > _MAX_SHOWN else ""
    what = (
        "1 value is no tensor and"
        if len(left_out) == 1
        else f"{len(left_out):,} values are no tensors and"
    )
    message = f"{what} left out: safetensors holds nothing else; --to torch does"
    return [Notice("warning", "left-out", message, shown + more)]


def _tie_notice(section: str, tensors: Sequence[Named]) -> list[Notice]:
    seen: set[object] = set()
    nbytes = count = 0
    for one in tensors:
        view = one.node.same_view()
        if view in seen:
            count, nbytes = count + 1, nbytes + one.node.nbytes
        seen.add(view)
    if not count:
        return []
    names = "1 other name" if count == 1 else f"{count:,} other names"
    message = f"tied tensors are written under {names} as well, {nbytes:,} bytes more"
    return [Notice("info", "ties-repeated", message, section)]
