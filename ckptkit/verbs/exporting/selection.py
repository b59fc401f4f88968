"""What goes out: the sections that were asked for, renamed and cast. Lazy: no tensor is read."""

from __future__ import annotations

import re

from ckptkit.algebra.cast import cast_source
from ckptkit.containers.logical import logical_source
from ckptkit.errors import MismatchError, UnrepresentableError
from ckptkit.nodes import MapNode, Node, SeqNode, Storage, TensorNode
from ckptkit.tree import path_text
from ckptkit.types import DTYPES, Notice, contiguous_strides
from ckptkit.verbs.exporting.values import DTYPES_TO_CAST_TO, ExportOptions, Rename
from ckptkit.verbs.open import Checkpoint

WEIGHTS = ("model", "ema")  # the sections that ``dtype`` and ``rename`` are about
ORIGIN = "provenance"  # where the source came from; goes out only when it is named
_MAX_SHOWN = 5


class Selection:
    """The sections that go out, by name and in order, and what is to be said of them."""

    def __init__(self, checkpoint: Checkpoint, options: ExportOptions) -> None:
        self.where = str(checkpoint.path)
        self.notices: list[Notice] = []
        self.sections: dict[str, Node] = {}
        self._document, self._options = checkpoint.document, options
        self._views: dict[object, TensorNode] = {}
        self._uncast: set[str] = set()
        for name in self._wanted():
            node = self._section(name)
            self.sections[name] = self._changed(node, name) if name in WEIGHTS else node
        if self._uncast:
            message = (
                f"{', '.join(sorted(self._uncast))} tensors are not cast: they stay as they are"
            )
            self.notices.append(Notice("info", "not-cast", message))

    def _wanted(self) -> tuple[str, ...]:
        options, names = self._options, tuple(str(name) for name in self._document)
        if options.every_section:
            return names
        if options.sections:
            return tuple(dict.fromkeys(options.sections))
        if options.to == "torch" and not options.ema:
            return tuple(name for name in names if name != ORIGIN)
        return ("model",)

    def _section(self, name: str) -> Node:
        if name == "model" and self._options.ema:
            return self._averaged()
        if name not in self._document:
            told = ", ".join(map(str, self._document)) or "nothing"
            advice = "name another with --section"
            if name == "model" and "ema" in self._document:
                advice = "its averaged weights can be had with --ema"
            raise MismatchError(self.where, f"has no section {name!a}", f"one of: {told}", advice)
        return self._document[name]

    # -- averaged weights -----------------------------------------------------------------------

    def _averaged(self) -> MapNode:
        """The averaged weights in place of the raw ones; what they lack, the raw ones give."""
        ema, raw = self._document.get("ema"), self._document.get("model")
        weights = ema.get("weights") if isinstance(ema, MapNode) else None
        if isinstance(weights, SeqNode):
            weights = self._named(weights, raw)
        if not isinstance(weights, MapNode) or not len(weights):
            raise MismatchError(
                self.where, "has no averaged weights by name", "a section ema with weights",
                "export without --ema",
            )  # fmt: skip
        if not isinstance(raw, MapNode):
            return weights
        lacking = [name for name in raw if name not in weights]
        strange = [name for name in weights if name not in raw]
        if strange and len(strange) == len(weights):
            return weights  # another model's: they stand for themselves
        if lacking:
            shown = ", ".join(path_text((name,)) for name in lacking[:_MAX_SHOWN])
            more = f" and {len(lacking) - _MAX_SHOWN:,} more" if len(lacking) > _MAX_SHOWN else ""
            message = f"the average lacks {shown}{more}: taken from the raw weights"
            self.notices.append(Notice("info", "average-filled", message))
        names = [*raw, *strange]
        pairs = [(name, weights[name] if name in weights else raw[name]) for name in names]
        return MapNode(pairs, raw.kind, raw.attrs)

    def _named(self, weights: SeqNode, raw: Node) -> MapNode | None:
        """Averages without names get the raw weights' names, if every shape agrees one to one."""
        shapes = [node.shape for node in weights.items if isinstance(node, TensorNode)]
        pairs = raw.items() if isinstance(raw, MapNode) else []
        theirs = [(name, node) for name, node in pairs if isinstance(node, TensorNode)]
        trained = [pair for pair in theirs if not _is_buffer(str(pair[0]))]
        for named in (theirs, trained):
            if len(shapes) == len(weights) and [node.shape for _, node in named] == shapes:
                message = (
                    "the averaged weights have no names: they got those of the raw ones, in order"
                )
                self.notices.append(Notice("warning", "average-named", message))
                return MapNode([(n, w) for (n, _), w in zip(named, weights.items, strict=True)])
        return None

    # -- names and dtypes -----------------------------------------------------------------------

    def _changed(self, node: Node, section: str) -> Node:
        """Rename and cast what is below a section of weights."""
        wanted = self._options.dtype
        if wanted is not None and wanted not in DTYPES_TO_CAST_TO:
            raise UnrepresentableError(
                "--dtype", f"{wanted!a} is no dtype to cast to", ", ".join(DTYPES_TO_CAST_TO)
            )
        rules = [(compiled(pattern), text) for pattern, text in self._options.rename]
        if wanted is None and not rules:
            return node
        return self._rebuilt(node, section, rules)

    def _rebuilt(self, root: Node, place: str, rules: list[Rename]) -> Node:
        """The same tree with its tensors renamed and cast; aliases stay, no depth is too deep."""
        made: dict[int, Node] = {}
        todo: list[tuple[Node, str]] = []

        def shell(node: Node, place: str) -> Node:
            if isinstance(node, TensorNode):
                return self._cast(node, place)
            if not isinstance(node, (MapNode, SeqNode)):
                return node
            known = made.get(id(node))
            if known is None:
                known = made[id(node)] = _empty_copy(node)
                todo.append((node, place))
            return known

        changed = shell(root, place)
        while todo:
            node, place = todo.pop()
            copy = made[id(node)]
            if isinstance(node, SeqNode):
                copy.items = [shell(x, f"{place}/{i}") for i, x in enumerate(node.items)]
                continue
            for key, value in node.items():
                is_name = type(key) is str and isinstance(value, TensorNode)
                name = renamed(key, rules) if is_name else key
                if name in copy:
                    raise _name_clash(place, name)
                copy[name] = shell(value, f"{place}/{path_text((key,))}")
        return changed

    def _cast(self, node: TensorNode, place: str) -> TensorNode:
        wanted = self._options.dtype
        if wanted is None or node.dtype.name == wanted or node.storage.source is None:
            return node
        if node.dtype.name not in DTYPES_TO_CAST_TO or node.numpy_dtype:
            if node.dtype.kind == "f":
                self._uncast.add(node.dtype.name)
            return node
        known = self._views.get(node.same_view())
        if known is None:
            dtype = DTYPES[wanted]
            source = cast_source(logical_source(node), node.dtype, dtype, place)
            known = TensorNode(
                dtype=dtype, shape=node.shape, strides=contiguous_strides(node.shape), offset=0,
                storage=Storage(node.storage.key, source.nbytes, source, node.storage.device),
                flavour=node.flavour, requires_grad=node.requires_grad,
            )  # fmt: skip
            self._views[node.same_view()] = known
        return known


def _empty_copy(node: MapNode | SeqNode) -> MapNode | SeqNode:
    if isinstance(node, SeqNode):
        return SeqNode([], node.kind, node.attrs)
    copy = MapNode(kind=node.kind, attrs=node.attrs)
    copy.factory = node.factory
    return copy


def _name_clash(place: str, name: Node) -> MismatchError:
    return MismatchError(
        place, f"two tensors would be called {name!a}", "a name of its own for each",
        "change the patterns of --rename",
    )  # fmt: skip


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern of a rename. Raises: MismatchError for one that is no regular expression."""
    try:
        return re.compile(pattern)
    except re.error as exc:
        raise MismatchError("--rename", f"{pattern!a} is no regular expression ({exc})") from exc


def renamed(name: str, rules: list[Rename]) -> str:
    """A name after every rule, one after the other. Raises: MismatchError for a bad replacement."""
    for pattern, text in rules:
        try:
            name = pattern.sub(text, name)
        except (re.error, IndexError) as exc:
            raise MismatchError("--rename", f"{text!a} is no replacement ({exc})") from exc
    return name


def _is_buffer(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))
