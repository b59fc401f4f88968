"""Every way in which opcodes can name a callable, or make one run, apart from the plain one."""

from __future__ import annotations

import pickle as p
import struct
from collections.abc import Iterator

from tests.attacks import build_pickle as b
from tests.attacks.build_zip import torch_zip
from tests.attacks.case import Case, Name, file_of

SYSTEM: Name = ("posix", "system")
SYS = b.name(*SYSTEM)
ARGS = b.tup(b.SHELL)
STACK = p.STACK_GLOBAL
MOD, FUN = b.text("posix"), b.text("system")


def short(value: str) -> bytes:
    """Push a string by SHORT_BINUNICODE (protocol 4)."""
    data = value.encode()
    return p.SHORT_BINUNICODE + bytes([len(data)]) + data


def old(value: str) -> bytes:
    """Push a string by SHORT_BINSTRING (Python 2)."""
    return p.SHORT_BINSTRING + bytes([len(value)]) + value.encode()


def after(pushed: bytes) -> bytes:
    """Call what was pushed."""
    return pushed + ARGS + p.REDUCE


NAMESPACE = b.call(b.name("argparse", "Namespace"))
Row = tuple[str, str, int, bytes, tuple[Name, ...]]


def stack_rows() -> Iterator[Row]:
    """STACK_GLOBAL with its two strings brought there by detours."""
    memo = MOD + b.put(7) + p.POP + FUN + b.put(300) + p.POP
    yield "memo", "STACK_GLOBAL", 4, after(memo + b.get(7) + b.get(300) + STACK), (SYSTEM,)
    memoized = MOD + p.MEMOIZE + p.POP + FUN + p.MEMOIZE + p.POP
    yield "memoize", "STACK_GLOBAL", 4, after(memoized + b.get(0) + b.get(1) + STACK), (SYSTEM,)
    texts = p.UNICODE + b"posix\n" + p.UNICODE + b"system\n" + STACK
    yield "unicode", "STACK_GLOBAL", 4, after(texts), (SYSTEM,)
    escaped = p.UNICODE + b"\\u0070osix\n" + p.UNICODE + b"\\u0073ystem\n" + STACK
    yield "escaped", "STACK_GLOBAL", 4, after(escaped), (SYSTEM,)
    yield "short", "STACK_GLOBAL", 4, after(short("posix") + short("system") + STACK), (SYSTEM,)
    eight = p.BINUNICODE8 + struct.pack("<Q", 5) + b"posix" + FUN
    yield "binunicode8", "STACK_GLOBAL", 4, after(eight + STACK), (SYSTEM,)
    python2 = old("posix") + old("system") + STACK
    yield "python2-strings", "STACK_GLOBAL", 4, after(python2), (SYSTEM,)
    quoted = p.STRING + b"'posix'\n" + p.STRING + b"'\\x73ystem'\n" + STACK
    yield "quoted-strings", "STACK_GLOBAL", 4, after(quoted), (SYSTEM,)
    junk = MOD + b.const(1) + p.POP + p.MARK + b.const(2) + p.POP_MARK + FUN + p.DUP + p.POP
    yield "dup-pop", "STACK_GLOBAL", 4, after(junk + STACK), (SYSTEM,)
    same = b.text("code") + p.DUP + STACK + b.tup() + p.REDUCE
    yield "dup-as-both", "STACK_GLOBAL", 4, same, (("code", "code"),)
    overwritten = b.text("json") + b.put(1) + p.POP + MOD + b.put(1) + p.POP
    yield (
        "memo-overwritten",
        "STACK_GLOBAL",
        4,
        after(overwritten + b.get(1) + FUN + STACK),
        (SYSTEM,),
    )
    textual = MOD + p.PUT + b"5\n" + p.POP + p.GET + b"5\n" + FUN + STACK
    yield "textual-put", "STACK_GLOBAL", 4, after(textual), (SYSTEM,)
    in_mark = p.MARK + MOD + FUN + STACK + b.text(b.SHELL) + p.OBJ
    yield "inside-mark", "STACK_GLOBAL", 4, in_mark, (SYSTEM,)
    joined = b.call(b.name("_operator", "add"), "po", "six")
    yield "computed", "STACK_GLOBAL", 4, after(joined + FUN + STACK), (("_operator", "add"),)
    decoded = b.call(b.name("_codecs", "decode"), b"posix", "latin1")
    yield "decoded", "STACK_GLOBAL", 4, after(decoded + FUN + STACK), (("_codecs", "decode"),)
    chosen = b.call(b.name("builtins", "str"), "posix")
    yield "str-call", "STACK_GLOBAL", 4, after(chosen + FUN + STACK), (("builtins", "str"),)


def call_rows() -> Iterator[Row]:
    """The other opcodes that call."""
    yield "plain", "GLOBAL", 2, after(SYS), (SYSTEM,)
    yield "protocol-0", "GLOBAL", 0, p.GLOBAL + b"posix\nsystem\n" + p.MARK + p.STRING + b"'" + (
        b.SHELL.replace('"', '\\"').encode() + b"'\n" + p.TUPLE + p.REDUCE), (SYSTEM,)  # fmt: skip
    yield "from-memo", "GLOBAL", 2, after(SYS + b.put(3) + p.POP + b.get(3)), (SYSTEM,)
    yield "long-memo", "GLOBAL", 2, after(SYS + b.put(70000) + p.POP + b.get(70000)), (SYSTEM,)
    yield "not-called", "GLOBAL", 2, b.const({"a": SYS}), (SYSTEM,)
    yield "plain", "REDUCE", 2, SYS + b.text(b.SHELL) + p.TUPLE1 + p.REDUCE, (SYSTEM,)
    yield "in-dict", "REDUCE", 2, b.const({"weight": b.tensor(), "x": b.os_system()}), (SYSTEM,)
    yield "popped", "REDUCE", 2, b.os_system() + p.POP + b.const({}), (SYSTEM,)
    yield "as-key", "REDUCE", 2, p.EMPTY_DICT + b.os_system() + p.NONE + p.SETITEM, (SYSTEM,)
    listed = SYS + b.const([b.SHELL]) + p.REDUCE
    yield "list-as-arguments", "REDUCE", 2, listed, (SYSTEM,)
    computed = SYS + b.call(b.name("builtins", "tuple"), [b.SHELL]) + p.REDUCE
    yield "computed-arguments", "REDUCE", 2, computed, (SYSTEM,)
    yield "plain", "INST", 2, p.MARK + b.text(b.SHELL) + p.INST + b"posix\nsystem\n", (SYSTEM,)
    yield "protocol-0", "INST", 0, p.MARK + p.UNICODE + b.SHELL.encode() + b"\n" + p.INST + (
        b"posix\nsystem\n"), (SYSTEM,)  # fmt: skip
    yield "plain", "OBJ", 2, p.MARK + SYS + b.text(b.SHELL) + p.OBJ, (SYSTEM,)
    yield "popped", "OBJ", 2, p.MARK + SYS + b.text(b.SHELL) + p.OBJ + p.POP + p.NONE, (SYSTEM,)
    yield "class-from-memo", "OBJ", 2, SYS + b.put(0) + p.POP + p.MARK + b.get(0) + (
        b.text(b.SHELL) + p.OBJ), (SYSTEM,)  # fmt: skip
    popen = b.name("subprocess", "Popen")
    yield "plain", "NEWOBJ", 2, popen + b.tup("true") + p.NEWOBJ, (("subprocess", "Popen"),)
    ex = popen + b.tup("true") + b.const({"shell": True}) + p.NEWOBJ_EX
    yield "ex", "NEWOBJ", 4, ex, (("subprocess", "Popen"),)
    helper = b.call(b.name("copyreg", "__newobj__"), popen, "true")
    yield "copyreg", "NEWOBJ", 2, helper, (("subprocess", "Popen"),)
    helper = b.call(b.name("copy_reg", "_reconstructor"), popen, b.name("builtins", "object"), None)
    yield "reconstructor", "NEWOBJ", 2, helper, (("subprocess", "Popen"),)
    for code, size, fmt in ((p.EXT1, 1, "<B"), (p.EXT2, 2, "<H"), (p.EXT4, 4, "<i")):
        yield f"ext{size}", "EXT", 2, after(code + struct.pack(fmt, 77)), ()
    yield "zero", "EXT", 2, after(p.EXT1 + b"\0"), ()
    yield "negative", "EXT", 2, after(p.EXT4 + struct.pack("<i", -1)), ()
    registered = b.call(b.name("copyreg", "add_extension"), "posix", "system", 78) + p.POP
    yield "registered-first", "EXT", 2, after(registered + p.EXT1 + b"\x4e"), (
        ("copyreg", "add_extension"),)  # fmt: skip


def method_rows() -> Iterator[Row]:
    """Objects whose methods run behind opcodes that look like data."""
    hooked = b.build(NAMESPACE, {"__setstate__": SYS})
    yield "setstate", "BUILD", 2, hooked + b.text(b.SHELL) + p.BUILD, (SYSTEM,)
    state = b.tup(None, {"hook": SYS})
    yield "slot-state", "BUILD", 2, NAMESPACE + state + p.BUILD, (SYSTEM,)
    yield "dict-state", "BUILD", 2, b.build(NAMESPACE, {"hook": b.os_system()}), (SYSTEM,)
    class_state = b.name("argparse", "Namespace") + b.tup(None, {"__eq__": SYS}) + p.BUILD
    yield "class-patched", "BUILD", 2, class_state, (SYSTEM,)
    module_state = b.name("json", "decoder") + b.const({"loads": SYS}) + p.BUILD
    yield "module-patched", "BUILD", 2, module_state, (SYSTEM,)
    timer = b.call(b.name("timeit", "Timer"), "1")
    yield "known-class", "BUILD", 2, b.build(timer, {"inner": SYS}), (SYSTEM,)
    trap = b.build(NAMESPACE, {"append": SYS, "add": SYS})
    yield "append", "method call", 2, trap + b.text(b.SHELL) + p.APPEND, (SYSTEM,)
    yield "appends", "method call", 2, trap + p.MARK + b.text(b.SHELL) + p.APPENDS, (SYSTEM,)
    yield "additems", "method call", 4, trap + p.MARK + b.text(b.SHELL) + p.ADDITEMS, (SYSTEM,)
    poison = b.name("sys", "modules") + b.text("json") + b.text("x") + p.SETITEM
    yield "sys-modules", "method call", 2, poison, (("sys", "modules"),)
    environ = b.name("os", "environ") + p.MARK + b.text("LD_PRELOAD") + b.text("x") + p.SETITEMS
    yield "os-environ", "method call", 2, environ, (("os", "environ"),)
    path = b.name("sys", "path") + b.text("/nonexistent") + p.APPEND
    yield "sys-path", "method call", 2, path, (("sys", "path"),)
    popen = b.name("subprocess", "Popen")
    mapped = b.call(b.name("collections", "defaultdict"), popen) + b.text("a") + b.text("true")
    yield "defaultdict", "method call", 2, mapped + p.SETITEM, (("subprocess", "Popen"),)
    shelf = b.call(b.name("dbm.dumb", "open"), "/nonexistent/ckptkit")
    stored = shelf + b.text("a") + b.text("b") + p.SETITEM
    yield "dbm", "method call", 2, stored, (("dbm.dumb", "open"),)
    mapped = b.call(b.name("builtins", "map"), SYS, [b.SHELL])
    consumed = p.EMPTY_LIST + mapped + p.BUILD
    yield "lazy-map", "method call", 2, consumed, (("builtins", "map"), SYSTEM)


def cases() -> Iterator[Case]:
    """Each route as a bare pickle and inside a torch zip."""
    silent = {"class-patched", "module-patched", "dict-state", "slot-state", "not-called"}
    for title, group, protocol, body, names in (*stack_rows(), *call_rows(), *method_rows()):
        data = b.stream(body, protocol)
        live = data if SYSTEM in names and title not in silent | LAME else None
        for wrapping, wrapped in (("bare", data), ("zip", torch_zip(data))):
            slug = f"{group}-{title}-{wrapping}".replace(" ", "-").lower()
            build = file_of(wrapped, ".pkl" if wrapping == "bare" else ".pt")
            yield Case(slug, group, build, names=names, alarm=True, live=live)
            live = None


#: Rows that name posix.system but stop before it runs (they show what a reader must still report).
LAME = {"registered-first", "known-class", "lazy-map", "list-as-arguments", "in-dict"}
