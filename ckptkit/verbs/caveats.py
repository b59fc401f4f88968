"""What a sealed folder keeps whole, but ``safetensors`` alone does not give back."""

from __future__ import annotations

from collections.abc import Iterator

from ckptkit.nodes import GlobalName, Node, Record, TensorNode
from ckptkit.tree import path_text, walk
from ckptkit.types import Notice
from ckptkit.verbs.layout import META_FLAVOUR
from ckptkit.verbs.seal import SealPlan
from ckptkit.verbs.targets import shown_names

_OF_PARTS = {
    GlobalName("torch._utils", "_rebuild_sparse_tensor"): "sparse",
    GlobalName("torch._utils", "_rebuild_nested_tensor"): "nested",
    GlobalName("torch._utils", "_rebuild_wrapper_subclass"): "wrapped",
    GlobalName("torch._tensor", "_rebuild_from_type_v2"): "of a subclass",
}
_TOLD = {
    "meta": "has no bytes (a meta tensor), so a data file does not name it",
    "quantized": "is quantized: a data file has its integers, the manifest its scales",
}


def caveats(plan: SealPlan) -> tuple[Notice, ...]:
    """Say which tensors do not come back from ``safetensors.torch.load_file`` as they were."""
    found: dict[str, list[str]] = {}
    for leaf, path in zip(plan.flat.leaves, plan.flat.paths, strict=True):
        if isinstance(leaf, TensorNode) and (kind := _kind(leaf)):
            found.setdefault(kind, []).append(path_text(path))
    for place, kind in _records(plan):
        found.setdefault(kind, []).append(place)
    notices = [
        Notice("warning", f"{kind.split()[-1]}-tensors", _message(kind, names))
        for kind, names in found.items()
    ]
    return (*notices, *_ties(plan))


def _kind(leaf: TensorNode) -> str:
    if leaf.flavour == META_FLAVOUR:
        return "meta"
    return "quantized" if leaf.dtype.kind == "q" else ""


def _records(plan: SealPlan) -> Iterator[tuple[str, str]]:
    """Tensors that the tree keeps as a record of parts; walks only sections that have any."""
    names = [[name.module, name.qualname] for name in _OF_PARTS]
    for section, tokens in plan.flat.tokens.items():
        if any(type(t) is list and t[0] == 3 and t[1:3] in names for t in tokens):
            yield from _records_of(section, plan.document[section])


def _records_of(section: str, node: Node) -> Iterator[tuple[str, str]]:
    for path, inner in walk(node):
        if isinstance(inner, Record) and inner.name in _OF_PARTS:
            yield path_text((section, *path)), _OF_PARTS[inner.name]


def _message(kind: str, names: list[str]) -> str:
    told = _TOLD.get(kind, f"is {kind}: its parts are stored as tensors of their own")
    many = (
        f"{len(names):,} tensors, each of which {told}" if len(names) > 1 else f"one tensor {told}"
    )
    return f"{many}; safetensors.torch.load_file alone does not give it back: {shown_names(names)}"


def _ties(plan: SealPlan) -> Iterator[Notice]:
    for file in plan.files:
        if file.aliases:
            pairs = [f"{alias} = {stored}" for alias, stored in file.aliases]
            yield Notice(
                "info", "tied-tensors",
                f"{file.name} stores tied tensors once ({shown_names(pairs)}): load_file gives no"
                " aliases, so load_state_dict misses them; safetensors.torch.load_model knows"
                " them, and so does the __metadata__ of the file",
            )  # fmt: skip
