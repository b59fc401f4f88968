"""Names that an unpickler must never reach, each called with a harmless argument."""

from __future__ import annotations

import pickle as p
from collections.abc import Iterator
from typing import Any

from tests.attacks import build_pickle as b
from tests.attacks.build_legacy import legacy
from tests.attacks.build_zip import torch_zip
from tests.attacks.case import Case, Name, file_of

LIVE = "live"  # marks a row whose call really touches the canary

ROWS: tuple[tuple[Any, ...], ...] = (
    ("os", "system", b.SHELL, LIVE),
    ("posix", "system", b.SHELL, LIVE),
    ("nt", "system", b.SHELL),
    ("os", "popen", b.SHELL, LIVE),
    ("os", "execv", "/bin/false", ["false"]),
    ("os", "spawnlp", 0, "true", "true"),
    ("posix", "posix_spawn", "/bin/true", ["true"], {}),
    ("os", "remove", "/nonexistent/ckptkit"),
    ("os", "fork"),
    ("os", "kill", 0, 0),
    ("os", "putenv", "CKPTKIT_X", "1"),
    ("subprocess", "Popen", "true"),
    ("subprocess", "run", "true"),
    ("subprocess", "call", "true"),
    ("subprocess", "check_output", ["sh", "-c", b.SHELL], LIVE),
    ("subprocess", "getoutput", b.SHELL, LIVE),
    ("commands", "getoutput", b.SHELL),
    ("builtins", "eval", b.EXPRESSION, LIVE),
    ("builtins", "exec", b.PYTHON, LIVE),
    ("__builtin__", "eval", b.EXPRESSION, LIVE),
    ("__builtin__", "execfile", "/nonexistent/ckptkit"),
    ("builtins", "compile", "1", "x", "eval"),
    ("builtins", "open", "/nonexistent/ckptkit"),
    ("io", "open", "/nonexistent/ckptkit"),
    ("_io", "FileIO", "/nonexistent/ckptkit"),
    ("builtins", "__import__", b.CANARY_MODULE),
    ("builtins", "getattr", b.name("builtins", "object"), "__subclasses__"),
    ("builtins", "setattr", 1, "real", 2),
    ("builtins", "input", ""),
    ("builtins", "breakpoint"),
    ("builtins", "globals"),
    ("builtins", "vars"),
    ("operator", "attrgetter", "system"),
    ("operator", "methodcaller", "system", b.SHELL),
    ("operator", "itemgetter", 0),
    ("_operator", "attrgetter", "system"),
    ("functools", "partial", b.name("posix", "system"), b.SHELL),
    ("functools", "reduce", b.name("posix", "system"), [1]),
    ("importlib", "import_module", b.CANARY_MODULE),
    ("importlib", "__import__", b.CANARY_MODULE),
    ("importlib._bootstrap", "_gcd_import", b.CANARY_MODULE),
    ("pkgutil", "resolve_name", f"{b.CANARY_MODULE}:touch"),
    ("pydoc", "locate", f"{b.CANARY_MODULE}.touch"),
    ("runpy", "_run_code", b.PYTHON, {}),
    ("runpy", "run_module", b.CANARY_MODULE),
    ("runpy", "run_path", "/nonexistent/ckptkit"),
    ("pty", "spawn", "true"),
    ("ctypes", "CDLL", "libckptkit-none.so"),
    ("ctypes.util", "find_library", "c"),
    ("socket", "socket"),
    ("socket", "create_connection", ("127.0.0.1", 9)),
    ("_socket", "socket"),
    ("ssl", "get_server_certificate", ("127.0.0.1", 9)),
    ("urllib.request", "urlopen", "http://127.0.0.1:9/"),
    ("urllib.request", "urlretrieve", "http://127.0.0.1:9/"),
    ("http.client", "HTTPSConnection", "127.0.0.1"),
    ("requests.api", "get", "http://127.0.0.1:9/"),
    ("aiohttp.client", "ClientSession"),
    ("smtplib", "SMTP", "127.0.0.1"),
    ("ftplib", "FTP", "127.0.0.1"),
    ("xmlrpc.client", "ServerProxy", "http://127.0.0.1:9/"),
    ("torch", "load", "/nonexistent/ckptkit"),
    ("torch.serialization", "load", "/nonexistent/ckptkit"),
    ("torch.hub", "load", "nobody/nothing", "x"),
    ("torch.hub", "_load_local", "/nonexistent/ckptkit", "x"),
    ("torch.jit", "load", "/nonexistent/ckptkit"),
    ("torch.storage", "_load_from_bytes", b"\x80\x02N."),
    ("torch.utils._config_module", "ConfigModule.load_config", b"\x80\x02N."),
    ("torch._inductor.codecache", "compile_file", "x", "y", "z"),
    ("torch.utils.collect_env", "run", "true"),
    ("torch.ops", "load_library", "/nonexistent/ckptkit"),
    ("torch.utils.data.datapipes.utils.decoder", "basichandlers", "pkl", b"\x80\x02N."),
    ("torch.fx.experimental.symbolic_shapes", "eval", "1"),
    ("torch.utils.bottleneck.__main__", "run_autograd_prof", "1", {}),
    ("numpy", "load", "/nonexistent/ckptkit"),
    ("numpy", "fromfile", "/nonexistent/ckptkit"),
    ("numpy.testing._private.utils", "runstring", b.PYTHON, {}),
    ("numpy.f2py.crackfortran", "getlincoef", "1", {}),
    ("pandas", "read_pickle", "/nonexistent/ckptkit"),
    ("joblib", "load", "/nonexistent/ckptkit"),
    ("dill", "loads", b"\x80\x02N."),
    ("cloudpickle", "loads", b"\x80\x02N."),
    ("pickle", "loads", b"\x80\x02N."),
    ("_pickle", "loads", b"\x80\x02N."),
    ("pickle", "Unpickler", b"\x80\x02N."),
    ("marshal", "loads", b"N"),
    ("shelve", "open", "/nonexistent/ckptkit"),
    ("yaml", "unsafe_load", "a: 1"),
    ("pip", "main", ["--version"]),
    ("pip._internal.cli.main", "main", ["--version"]),
    ("ensurepip", "_run_pip", ["--version"]),
    ("venv", "create", "/nonexistent/ckptkit"),
    ("timeit", "timeit", b.PYTHON, "pass", b.name("time", "time"), 1, LIVE),
    ("timeit", "main", ["-n", "1", "1"]),
    ("cProfile", "runctx", b.PYTHON, {}, {}),
    ("cProfile", "run", "1"),
    ("profile", "Profile.run", "1"),
    ("trace", "Trace"),
    ("bdb", "Bdb"),
    ("bdb", "Bdb.run", b.call(b.name("bdb", "Bdb")), b.PYTHON),
    ("pdb", "run", "1"),
    ("doctest", "debug_script", "1"),
    ("code", "InteractiveInterpreter.runcode", None, None),
    ("code", "interact"),
    ("codeop", "compile_command", "1"),
    ("idlelib.pyshell", "ModifiedInterpreter.runcode", None),
    ("lib2to3.pgen2.grammar", "Grammar.loads", None, b"\x80\x02N."),
    ("webbrowser", "open", "about:blank"),
    ("antigravity", "geohash", 1.0, 1.0, b"x"),
    ("shutil", "rmtree", "/nonexistent/ckptkit"),
    ("shutil", "copyfile", "/nonexistent/a", "/nonexistent/b"),
    ("pathlib", "Path.write_text", "/nonexistent/ckptkit", "x"),
    ("tempfile", "mktemp"),
    ("types", "CodeType"),
    ("types", "FunctionType", None, {}),
    ("types", "ModuleType", "x"),
    ("sys", "exit", 0),
    ("sys", "settrace", None),
    ("sys", "setprofile", None),
    ("signal", "raise_signal", 0),
    ("multiprocessing.util", "spawnv_passfds", b"/bin/true", ["true"], []),
    ("multiprocessing.managers", "BaseManager"),
    ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    ("concurrent.futures.process", "ProcessPoolExecutor"),
    ("threading", "Thread"),
    ("atexit", "register", b.name("posix", "system"), b.SHELL),
    ("weakref", "finalize", b.name("posix", "system"), b.SHELL),
    ("logging.config", "dictConfig", {"version": 1}),
    ("logging.config", "listen"),
    ("unittest.main", "main"),
    ("distutils.file_util", "write_file", "/nonexistent/a", ["x"]),
    ("setuptools.sandbox", "run_setup", "/nonexistent/a"),
    ("test.support.script_helper", "assert_python_ok", "-c", "1"),
    ("ipykernel.kernelapp", "launch_new_instance"),
    ("IPython", "embed"),
    ("sqlite3", "connect", ":memory:"),
    ("site", "addsitedir", "/nonexistent"),
    ("zipimport", "zipimporter", "/nonexistent"),
    ("importlib.machinery", "SourceFileLoader", "x", "/nonexistent"),
    ("copyreg", "add_extension", "posix", "system", 77),
    ("gc", "get_objects"),
    ("inspect", "currentframe"),
)

#: How each row reaches its name, in turn, so that every route meets every kind of name.
SHAPES = ("global-reduce", "stack-reduce", "inst", "obj", "newobj", "build")


def payload(module: str, qualname: str, args: tuple[Any, ...], shape: str) -> bytes:
    """A pickle that calls a name with constants, by one of the routes."""
    pushed = b"".join(map(b.const, args))
    by_global, by_stack = b.name(module, qualname), b.stack_name(module, qualname)
    bodies = {
        "global-reduce": (2, by_global + b.tup(*args) + p.REDUCE),
        "stack-reduce": (4, by_stack + b.tup(*args) + p.REDUCE),
        "inst": (2, p.MARK + pushed + p.INST + f"{module}\n{qualname}\n".encode()),
        "obj": (2, p.MARK + by_global + pushed + p.OBJ),
        "newobj": (2, by_global + b.tup(*args) + p.NEWOBJ),
        "build": (2, by_global + b.tup(*args) + p.REDUCE + b.const({"a": 1}) + p.BUILD),
    }
    protocol, body = bodies[shape]
    return b.stream(body, protocol)


def cases() -> Iterator[Case]:
    """One file a name, wrapped in turn as a torch zip, a bare pickle and a stacked file."""
    for index, (module, qualname, *args) in enumerate(ROWS):
        live = bool(args) and isinstance(args[-1], str) and args[-1] == LIVE
        arguments = tuple(args[:-1] if live else args)
        data = payload(module, qualname, arguments, SHAPES[index % len(SHAPES)])
        names: list[Name] = [(module, qualname)]
        names += [("posix", "system")] * any(a == b.name("posix", "system") for a in arguments)
        wrapped = (torch_zip(data), data, legacy(data))[index % 3]
        runs = payload(module, qualname, arguments, "global-reduce") if live else None
        title = f"gadget-{index:03d}-{module}-{qualname}"
        yield Case(title, "gadget", file_of(wrapped), names=tuple(names), alarm=True, live=runs)
