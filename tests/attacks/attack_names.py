"""Names that are not what they look like, and callables that are mere arguments."""

from __future__ import annotations

import pickle as p
from collections.abc import Iterator

from tests.attacks import build_pickle as b
from tests.attacks.build_zip import torch_zip
from tests.attacks.case import Case, Name, file_of

DOTTED: tuple[Name, ...] = (
    ("os", "path.os.system"),
    ("torch", "serialization.os.system"),
    ("collections", "abc.sys.modules"),
    ("torch.nn", "modules.module.torch.hub.load"),
    ("collections", "OrderedDict.__init__.__globals__"),
    ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    ("torch._utils", "_rebuild_tensor_v2.__code__"),
    ("numpy", "core.multiarray.os.system"),
    ("builtins", "type.__subclasses__"),
    ("builtins", "object.__reduce_ex__"),
    ("builtins", "dict.get"),
    ("torch", "FloatStorage.from_file"),
    ("torch", "Tensor.backward"),
    ("collections.OrderedDict", "fromkeys"),
    ("torch", "_utils._rebuild_tensor_v2"),
    ("", "os.system"),
    ("os.path.os", "system"),
    ("__main__", "__builtins__.eval"),
    ("torch.storage", "io.BytesIO"),
)

LOOK_ALIKE: tuple[Name, ...] = (
    ("t\u043erch._utils", "_rebuild_tensor_v2"),  # a Cyrillic o
    ("torch\u200b._utils", "_rebuild_tensor_v2"),  # a zero-width space
    ("torch._utils", "_rebuild_tensor_v2\u200d"),
    ("\uff54orch._utils", "_rebuild_tensor_v2"),  # a full-width t
    ("torch._utils ", "_rebuild_tensor_v2"),
    (" torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor_v2 "),
    ("torch._util", "s_rebuild_tensor_v2"),
    ("torch._utils_", "_rebuild_tensor_v2"),
    ("torch._utils.evil", "_rebuild_tensor_v2"),
    ("torch_utils", "_rebuild_tensor_v2"),
    ("Torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_Rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor_v22"),
    ("c\u043ellections", "OrderedDict"),
    ("collections", "OrderedDict\u0301"),
    ("collections.abc", "OrderedDict"),
    ("torch", "\u202eegarotStaolF"),  # reads backwards
    ("builtіns", "eval"),  # noqa: RUF001 (the Cyrillic i is the point)
    ("numpy.core.multiarray.evil", "_reconstruct"),
)

BROKEN: tuple[Name, ...] = (
    ("os\0", "system"),
    ("os", "system\0"),
    ("\0os", "system"),
    ("torch._utils\0", "_rebuild_tensor_v2"),
    ("collections", "OrderedDict\0"),
    ("os\n", "system"),
    ("os", "system\n"),
    ("torch._utils\nos", "system"),
    ("os\r", "system"),
    ("os\x1b[2J", "system"),
    ("os", "\x1b]0;title\x07system"),
    ("os\ud800", "system"),
    ("", ""),
    ("os", ""),
    ("", "system"),
)


#: Names that must be listed, but that could as well be somebody's own honest package or method.
UNDECIDED: frozenset[Name] = frozenset(
    {
        ("torch", "Tensor.backward"), ("torch", "_utils._rebuild_tensor_v2"), ("torch._util", "s_rebuild_tensor_v2"),
        ("torch._utils_", "_rebuild_tensor_v2"), ("torch._utils.evil", "_rebuild_tensor_v2"),
        ("torch_utils", "_rebuild_tensor_v2"), ("Torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_Rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor_v22"),
        ("numpy.core.multiarray.evil", "_reconstruct"), ("collections.abc", "OrderedDict"),
    }
)  # fmt: skip


def _wrapped(slug: str, group: str, names: tuple[Name, ...], body: bytes, protocol: int) -> Case:
    alarm = None if set(names) <= UNDECIDED else True
    return Case(slug, group, file_of(torch_zip(b.stream(body, protocol))), names=names, alarm=alarm)


def odd_names() -> Iterator[Case]:
    """Dotted, look-alike and broken names, by STACK_GLOBAL and by GLOBAL where it can say them."""
    groups = (
        ("dotted name", DOTTED),
        ("look-alike name", LOOK_ALIKE),
        ("name with NUL or newline", BROKEN),
    )
    for group, rows in groups:
        for index, pair in enumerate(rows):
            slug = f"{group}-{index:02d}".replace(" ", "-").lower()
            by_stack = b.stack_name(*pair) + b.tup(b.SHELL) + p.REDUCE
            yield _wrapped(f"{slug}-stack", group, (pair,), by_stack, 4)
            if not any(mark in "".join(pair) for mark in "\n\ud800"):
                by_global = b.name(*pair) + b.tup(b.SHELL) + p.REDUCE
                yield _wrapped(f"{slug}-global", group, (pair,), by_global, 2)


def arguments() -> Iterator[Case]:
    """A dangerous callable that is only passed: to data, to a rebuild, to a class."""
    group, system = "dangerous argument", b.name("posix", "system")
    factory = b.name("collections", "defaultdict")
    ordered = b.name("collections", "OrderedDict")
    param = b.name("torch._utils", "_rebuild_parameter")
    subclass = b.name("torch._utils", "_rebuild_wrapper_subclass")
    from_type = b.name("torch._tensor", "_rebuild_from_type_v2")
    v2 = b.name("torch._utils", "_rebuild_tensor_v2")
    hook = b.call(ordered) + b.const(0) + system + p.SETITEM
    layout = b.name("torch.serialization", "_get_layout")
    newobj = b.name("copyreg", "__newobj__")
    bodies: dict[str, bytes] = {
        "list-item": b.const([system]),
        "dict-value": b.const({"lr": system}),
        "dict-key": p.EMPTY_DICT + system + p.NONE + p.SETITEM,
        "tuple-item": b.tup(1, system),
        "defaultdict-factory": b.call(factory, system),
        "ordered-dict": b.call(ordered, [[b.Raw(b.text("a")), system]]),
        "partial": b.call(b.name("functools", "partial"), system, b.SHELL),
        "parameter-data": b.call(param, system, True, b.EMPTY_HOOKS),
        "parameter-hooks": b.call(param, b.tensor(), True, b.Raw(hook)),
        "tensor-hooks": b.call(v2, b.storage(), 0, (4,), (1,), False, b.Raw(hook)),
        "wrapper-class": b.call(
            subclass, system, b.name("torch", "float32"), (1,), (1,), 0, None, None, False
        ),
        "from-type-func": b.call(
            from_type, system, b.name("torch", "Tensor"), b.Raw(b.tup(b.SHELL)), None
        ),
        "from-type-class": b.call(from_type, v2, system, b.Raw(b.tup()), None),
        "layout": b.call(layout, system),
        "newobj-helper": b.call(newobj, system),
        "storage-class": b.tensor(b.Raw(b.tup("storage", system, "0", "cpu", 4) + p.BINPERSID)),
        "storage-key": b.tensor(b.storage(key=system)),
        "storage-location": b.tensor(b.storage(location=system)),
        "persistent-id": b.const({"a": b.Raw(b.tup(system, b.SHELL) + p.BINPERSID)}),
        "module-persistent-id": b.Raw(b.tup("module", system, "f.py", "source") + p.BINPERSID),
        "set-item": p.EMPTY_SET + p.MARK + system + p.ADDITEMS,
        "numpy-class": b.call(b.name("numpy.core.multiarray", "_reconstruct"), system, (0,), b"b"),
        "getattr": b.call(b.name("builtins", "getattr"), b.name("os", "path"), "os"),
    }
    also: dict[str, tuple[Name, ...]] = {"getattr": (("builtins", "getattr"), ("os", "path"))}
    for title, body in bodies.items():
        names = also.get(title, (("posix", "system"),))
        yield _wrapped(f"argument-{title}", group, names, body, 4)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from odd_names()
    yield from arguments()
