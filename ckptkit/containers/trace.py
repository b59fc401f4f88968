"""Who is named, called and built by a pickle stream, and what else is odd about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ckptkit.errors import ContainerError
from ckptkit.nodes import Atom, GlobalName, MapNode, Node, Record, SeqNode, TensorNode
from ckptkit.protocols import GlobalUse, StreamScan
from ckptkit.types import Notice

MAX_NOTICES = 1_000  # a stream cannot flood its own report
MAX_EMBEDDED = 256  # byte strings kept because they look like pickles


# Names whose calls are harmless or not by their arguments alone.
BY_ARGUMENTS = frozenset(
    (
        ("builtins", "getattr"), ("builtins", "iter"), ("builtins", "type"),
        ("__builtin__", "getattr"), ("__builtin__", "iter"), ("__builtin__", "type"),
        ("functools", "partial"), ("operator", "getitem"), ("_operator", "getitem"),
        ("torch.storage", "_load_from_bytes"),
    )
)  # fmt: skip


class NameUse:
    """The counters of one name; ``value`` is what naming it pushes, ``call``/``new`` rebuild it."""

    __slots__ = (
        "built", "call", "calls", "excused", "name", "named", "new", "offset", "value", "watched",
    )  # fmt: skip

    def __init__(self, name: GlobalName, offset: int) -> None:
        self.name, self.offset = name, offset
        self.value: Node = name
        self.call: Any = None
        self.new: Any = None
        self.named = self.calls = self.built = self.excused = 0
        self.watched = False


class Tracer:
    """The running record of one stream. It is whole at any moment, so a breakage loses nothing."""

    __slots__ = ("by_id", "embedded", "notices", "stream", "uses", "watching")

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.uses: dict[tuple[str, str], NameUse] = {}
        self.by_id: dict[int, NameUse] = {}
        self.notices: list[Notice] = []
        self.embedded: list[tuple[int, bytes]] = []  # offset and bytes of what looks like a pickle
        self.watching = False

    def meet(self, module: str, qualname: str, offset: int) -> NameUse:
        """Count one naming of a name; the first one makes its only GlobalName object."""
        use = self.uses.get((module, qualname))
        if use is None:
            use = NameUse(GlobalName(module, qualname), offset)
            self.uses[(module, qualname)] = use
            self.by_id[id(use.name)] = use
            if (module, qualname) in BY_ARGUMENTS:
                use.watched = self.watching = True
        use.named += 1
        return use

    def notice(self, level: str, code: str, message: str) -> None:
        """Keep something worth saying, once, up to a bound."""
        found = Notice(level, code, message, self.stream)
        if len(self.notices) < MAX_NOTICES and found not in self.notices[-8:]:
            self.notices.append(found)

    def embed(self, offset: int, raw: bytes) -> None:
        """Keep a byte string that starts as a pickle does, for ``scan`` to follow."""
        if len(self.embedded) < MAX_EMBEDDED:
            self.embedded.append((offset, raw))

    def judge(self, use: NameUse, args: list[Node]) -> None:
        """Look at the arguments of a name that is harmless or not by what it is called with."""
        from ckptkit.danger import excuses  # few streams need it, and every start would pay for it

        if excuses(use.name.qualname, args):
            use.excused += 1
        elif use.name.qualname == "type":
            self.notice("danger", "makes-a-class", "builtins.type makes a new class")

    def excuse(self, module: str, qualname: str, raw: bytes) -> None:
        """One call of a watched name turned out to be harmless: its bytes are read already."""
        self.uses[module, qualname].excused += 1
        if self.embedded and self.embedded[-1][1] is raw:
            self.embedded.pop()

    def close(self, roots: list[Node]) -> None:
        """The stream ended or broke; ``roots`` is all that it made.

        A watched name that is kept as data may be called later, so no call excuses it.
        """
        if self.watching:
            for name in find_names(roots):
                use = self.by_id.get(id(name))
                if use is not None and use.watched:
                    use.excused = -1

    def scan(self, error: ContainerError | None = None) -> StreamScan:
        """Everything seen so far."""
        found: list[GlobalUse] = []
        for (module, qualname), use in self.uses.items():
            rows = (("built", use.built), ("called", use.calls), ("named", use.named - use.calls))
            shown = [(how, times) for how, times in rows if times > 0] or [("named", use.named)]
            harmless = use.watched and use.calls > 0 and use.excused == use.calls
            found.extend(
                GlobalUse(self.stream, module, qualname, how, times, use.offset, harmless)
                for how, times in shown
            )
        if error is not None:
            drop_frames(error)
        return StreamScan(self.stream, tuple(found), tuple(self.notices), error)


def drop_frames(error: BaseException) -> None:
    """Let go of what the failed reading had made: an error that is kept keeps its frames alive."""
    met: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in met:
        met.add(id(link))
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


def find_names(roots: list[Node]) -> Iterator[GlobalName]:
    """Every name that lies in the nodes as data, below ``roots``."""
    seen: set[int] = set()
    todo = list(roots)
    while todo:
        node = todo.pop()
        if type(node) is GlobalName:
            yield node
        elif id(node) not in seen and isinstance(
            node, (SeqNode, MapNode, Record, Atom, TensorNode)
        ):
            seen.add(id(node))
            todo.extend(_parts(node))


def _parts(node: Node) -> list[Node]:
    if isinstance(node, SeqNode):
        return [*node.items, node.attrs]
    if isinstance(node, MapNode):
        return [*node, *node.values(), node.attrs, node.factory]
    if isinstance(node, Atom):
        return list(node.args)
    if isinstance(node, TensorNode):
        return [node.extra]
    lists = (*(node.states or ()), *(node.items or ()))
    return [*node.args, node.kwargs, node.entries, *lists]
