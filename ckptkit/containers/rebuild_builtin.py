"""Values of Python's own types that pickles make by a call: collections, numbers, dates, paths."""

from __future__ import annotations

from collections.abc import Callable

from ckptkit.containers.pickle_machine import MAX_NAME_NBYTES, Machine
from ckptkit.containers.pickle_ops_collections import distinct
from ckptkit.containers.pickle_ops_texts import looks_like_pickle
from ckptkit.nodes import Atom, GlobalName, MapNode, Node, Record, SeqNode

_LATIN_1 = frozenset(("latin1", "latin-1", "iso-8859-1", "iso8859-1", "L1"))
_UTF_8 = frozenset(("utf-8", "utf8", "UTF-8"))


def raw_bytes(vm: Machine, node: Node) -> bytes | None:
    """The bytes of a byte string of any age; None if it is none.

    A Python 2 ``str`` came as text: as UTF-8 with its bytes kept beside it, else as latin-1.
    """
    if type(node) is bytes:
        return node
    if type(node) is Atom and node.kind == "bytearray" and type(node.args[0]) is bytes:
        return node.args[0]
    if type(node) is str:
        vm.charge(len(node))
        kept = vm.raw_strings.get(id(node))
        return kept[1] if kept is not None else _encoded(node, "latin-1")
    return None


def _encoded(text: str, encoding: str) -> bytes | None:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return None


def _list_of(node: Node) -> list[Node] | None:
    if type(node) is SeqNode and node.kind in ("list", "tuple", "set", "frozenset"):
        return node.items
    return None


def ordered_dict(vm: Machine, args: list[Node]) -> Node:
    """``OrderedDict()``, or of a list of pairs as Python 2 wrote it."""
    return _mapping(vm, args, "OrderedDict")


def plain_dict(vm: Machine, args: list[Node]) -> Node:
    """``dict()`` or ``dict(pairs)``."""
    return _mapping(vm, args, "dict")


def counter(vm: Machine, args: list[Node]) -> Node:
    """``Counter(counts)``."""
    return _mapping(vm, args, "Counter")


def _mapping(vm: Machine, args: list[Node], kind: str) -> Node:
    node = MapNode((), kind)
    if not args:
        return node
    if len(args) != 1:
        return NotImplemented
    source = args[0]
    pairs = source.items() if type(source) is MapNode else _pairs(source)
    if pairs is None:
        return NotImplemented
    vm.spend(len(pairs))  # a copy costs memory that the file has not paid for
    for key, value in pairs:
        if type(key) is str:
            node[key] = value
        else:
            vm.set_pair(node, key, value)
    return node


def _pairs(node: Node) -> list[tuple[Node, Node]] | None:
    items = _list_of(node)
    if items is None:
        return None
    pairs = []
    for item in items:
        parts = _list_of(item)
        if parts is None or len(parts) != 2:
            return None
        pairs.append((parts[0], parts[1]))
    return pairs


def default_dict(vm: Machine, args: list[Node]) -> Node:
    """``defaultdict(factory[, pairs])``; the factory is only a name."""
    if len(args) > 2:
        return NotImplemented
    node = _mapping(vm, args[1:], "defaultdict")
    if node is not NotImplemented:
        node.factory = args[0] if args else None
    return node


def deque(vm: Machine, args: list[Node]) -> Node:
    """``deque([items[, maxlen]])``."""
    items = _list_of(args[0]) if args else []
    maxlen = args[1] if len(args) == 2 else None
    if items is None or len(args) > 2 or not (maxlen is None or _is_int(maxlen)):
        return NotImplemented
    vm.spend(len(items) // 8)
    attrs = None if maxlen is None else MapNode({"maxlen": maxlen})
    return SeqNode(list(items), "deque", attrs)


def _sequence(kind: str) -> Callable[[Machine, list[Node]], Node]:
    def rebuild(vm: Machine, args: list[Node]) -> Node:
        items = _list_of(args[0]) if len(args) == 1 else None if args else []
        if items is None:
            return NotImplemented
        hashed = kind in ("set", "frozenset")
        vm.spend(len(items) // (2 if hashed else 8))
        return SeqNode(distinct(vm, items) if hashed else list(items), kind)

    return rebuild


def codecs_encode(vm: Machine, args: list[Node]) -> Node:
    """``_codecs.encode(text, 'latin1')``: how protocols 0 to 2 write bytes."""
    if len(args) != 2 or type(args[0]) is not str or type(args[1]) is not str:
        return NotImplemented
    if args[1] in _LATIN_1:
        raw = raw_bytes(vm, args[0])
    else:
        vm.charge(4 * len(args[0]))
        raw = _encoded(args[0], "utf-8") if args[1] in _UTF_8 else None
    if raw is None:
        return NotImplemented
    if len(raw) > 4 and looks_like_pickle(raw):
        vm.tracer.embed(vm.at, raw)
    return raw


def plain_bytes(vm: Machine, args: list[Node]) -> Node:
    """``bytes()``, ``bytes(bytes)`` or ``bytes(text, encoding)``."""
    if not args:
        return b""
    if len(args) == 2:
        return codecs_encode(vm, args)
    return args[0] if len(args) == 1 and type(args[0]) is bytes else NotImplemented


def byte_array(vm: Machine, args: list[Node]) -> Node:
    """``bytearray()``, ``bytearray(bytes)`` or ``bytearray(text, encoding)``."""
    raw = plain_bytes(vm, args)
    return NotImplemented if raw is NotImplemented else Atom("bytearray", (raw,))


def plain_complex(vm: Machine, args: list[Node]) -> Node:  # noqa: ARG001
    """``complex(real, imag)``."""
    if len(args) == 2 and type(args[0]) is float and type(args[1]) is float:
        return complex(args[0], args[1])
    return NotImplemented


def _is_int(node: Node) -> bool:
    return type(node) is int


def _int_atom(
    kind: str, low: int, high: int, *, none: bool
) -> Callable[[Machine, list[Node]], Node]:
    def rebuild(vm: Machine, args: list[Node]) -> Node:  # noqa: ARG001
        fits = all(_is_int(arg) or (none and arg is None) for arg in args)
        return Atom(kind, tuple(args)) if fits and low <= len(args) <= high else NotImplemented

    return rebuild


def path(kind: str) -> Callable[[Machine, list[Node]], Node]:
    """``PosixPath('/', 'a', 'b')``: joined as the path's own flavour joins its parts."""
    slash = "\\" if "Windows" in kind else "/"

    def rebuild(vm: Machine, args: list[Node]) -> Node:
        if any(type(arg) is not str for arg in args):
            return NotImplemented
        vm.charge(4 * sum(map(len, args)))
        starts = [index for index, part in enumerate(args) if part.startswith(slash)]
        parts = args[starts[-1] :] if starts else args  # an absolute part forgets those before it
        if len(parts) == 1:
            return Atom(kind, (parts[0] or ".",))
        text = slash.join(part.removesuffix(slash) for part in parts if part)
        return Atom(kind, (text or ".",))

    return rebuild


def get_attribute(vm: Machine, args: list[Node]) -> Node:
    """``getattr(Outer, 'Inner')``: how protocols 2 and 3 name what protocol 4 names dotted."""
    from ckptkit.containers.pickle_ops_objects import resolve

    if len(args) != 2 or type(args[0]) is not GlobalName or type(args[1]) is not str:
        return NotImplemented
    owner, attribute = args
    if len(owner.qualname) + len(attribute) > MAX_NAME_NBYTES:
        vm.refuse("a name of absurd length", f"at most {MAX_NAME_NBYTES} bytes")
    vm.charge(len(owner.qualname))
    return resolve(vm, owner.module, f"{owner.qualname}.{attribute}", vm.at).value


plain_list, plain_tuple = _sequence("list"), _sequence("tuple")
plain_set, frozen_set = _sequence("set"), _sequence("frozenset")
plain_slice = _int_atom("slice", 3, 3, none=True)
plain_range = _int_atom("range", 3, 3, none=False)
time_delta = _int_atom("timedelta", 3, 3, none=False)


def uuid_new(vm: Machine, args: list[Node]) -> Node:
    """``UUID`` by NEWOBJ; BUILD then brings its ``int``."""
    if args:
        return NotImplemented
    record = Record(GlobalName("uuid", "UUID"), "new", ())
    vm.defer(record, vm.at, _finish_uuid)
    return record


def reconstructor(vm: Machine, args: list[Node]) -> Node:
    """``copyreg._reconstructor(cls, object, None)``: NEWOBJ as protocols 0 and 1 write it."""
    if len(args) == 3 and args[0] == ("uuid", "UUID") and args[2] is None:
        return uuid_new(vm, [])
    return NotImplemented


def _finish_uuid(vm: Machine, record: Record, state: Node) -> Node:  # noqa: ARG001
    value = state.get("int") if type(state) is MapNode else None
    if type(value) is int and 0 <= value < 1 << 128 and set(state) <= {"int", "is_safe"}:
        return Atom("uuid", (value,))
    record.states = [state]
    return record
