"""What is known of names: the exact harmless ones, and whose neighbourhoods are dangerous.

Harmless is by exact pair only. Standard library names are dangerous unless they stand here;
names of other packages are unknown unless their package, module or pair stands below.
"""

from __future__ import annotations

from ckptkit.danger_data_classes import DATA_CLASSES


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EXCEPTIONS = (
    "ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError"
    " BrokenPipeError BufferError BytesWarning ChildProcessError ConnectionAbortedError"
    " ConnectionError ConnectionRefusedError ConnectionResetError DeprecationWarning EOFError"
    " EnvironmentError Exception ExceptionGroup FileExistsError FileNotFoundError"
    " FloatingPointError FutureWarning GeneratorExit IOError ImportError ImportWarning"
    " IndentationError IndexError InterruptedError IsADirectoryError KeyError KeyboardInterrupt"
    " LookupError MemoryError ModuleNotFoundError NameError NotADirectoryError NotImplementedError"
    " OSError OverflowError PendingDeprecationWarning PermissionError ProcessLookupError"
    " RecursionError ReferenceError ResourceWarning RuntimeError RuntimeWarning StopAsyncIteration"
    " StopIteration SyntaxError SyntaxWarning SystemError SystemExit TabError TimeoutError"
    " TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError"
    " UnicodeTranslateError UnicodeWarning UserWarning ValueError Warning ZeroDivisionError"
)
_TORCH_STORAGES = (
    "DoubleStorage FloatStorage HalfStorage BFloat16Storage LongStorage IntStorage ShortStorage"
    " CharStorage ByteStorage BoolStorage ComplexFloatStorage ComplexDoubleStorage QInt8Storage"
    " QUInt8Storage QInt32Storage QUInt4x2Storage QUInt2x4Storage UntypedStorage TypedStorage"
    " _UntypedStorage _TypedStorage"
)
_TORCH_DTYPES = (
    "bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32 float64"
    " complex32 complex64 complex128 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz"
    " float8_e8m0fnu float4_e2m1fn_x2 qint8 quint8 qint32 quint4x2 quint2x4 bits1x8 bits2x4"
    " bits4x2 bits8 bits16 int1 int2 int3 int4 int5 int6 int7 uint1 uint2 uint3 uint4 uint5 uint6"
    " uint7 half float double short int long chalf cfloat cdouble"
)
_TORCH_VALUES = (
    "Size device dtype layout memory_format Tensor Generator strided sparse_coo sparse_csr"
    " sparse_csc sparse_bsr sparse_bsc _mkldnn jagged contiguous_format channels_last"
    " channels_last_3d preserve_format per_tensor_affine per_tensor_symmetric per_channel_affine"
    " per_channel_symmetric per_channel_affine_float_qparams FloatTensor DoubleTensor HalfTensor"
    " BFloat16Tensor LongTensor IntTensor ShortTensor CharTensor ByteTensor BoolTensor"
)
_PATHS = "PosixPath PurePosixPath WindowsPath PureWindowsPath Path PurePath"

HARMLESS: dict[str, frozenset[str]] = {
    module: _words(names)
    for module, names in {
        "builtins": _EXCEPTIONS
        + " int float bool str bytes bytearray complex list tuple dict set frozenset slice range"
        " xrange object type memoryview unicode long basestring len abs min max sum sorted round"
        " pow divmod hash any all chr ord bin hex oct repr Ellipsis NotImplemented None True False"
        " reversed enumerate zip property staticmethod classmethod super",
        "collections": "OrderedDict defaultdict Counter deque ChainMap UserDict UserList UserString"
        " namedtuple",
        "collections.abc": "Callable Mapping Sequence Iterable Iterator MutableMapping Hashable"
        " MutableSequence Set Sized Container Collection Generator",
        "datetime": "datetime date time timedelta timezone tzinfo UTC",
        "_datetime": "datetime date time timedelta timezone",
        "decimal": "Decimal Context",
        "_decimal": "Decimal",
        "fractions": "Fraction",
        "numbers": "Number Complex Real Rational Integral",
        "uuid": "UUID SafeUUID",
        "pathlib": _PATHS,
        "pathlib._local": _PATHS,
        "argparse": "Namespace",
        "optparse": "Values",
        "types": "SimpleNamespace NoneType MappingProxyType GenericAlias UnionType EllipsisType"
        " NotImplementedType",
        "random": "Random SystemRandom",
        "_random": "Random",
        "re": "_compile compile Pattern RegexFlag",
        "_sre": "SRE_Pattern",
        "logging": "Logger getLogger RootLogger",
        "enum": "Enum IntEnum Flag IntFlag StrEnum EnumMeta EnumType auto",
        "abc": "ABC ABCMeta",
        "array": "array _array_reconstructor",
        "zoneinfo": "ZoneInfo ZoneInfo._unpickle",
        "ipaddress": "IPv4Address IPv6Address IPv4Network IPv6Network IPv4Interface IPv6Interface",
        "copyreg": "_reconstructor __newobj__ __newobj_ex__",
        "_codecs": "encode",
        "io": "BytesIO StringIO",
        "_io": "BytesIO StringIO",
        "itertools": "count cycle repeat chain islice product permutations combinations zip_longest"
        " accumulate",
        "time": "struct_time time perf_counter monotonic process_time",
        "math": "sqrt exp log log2 log10 sin cos tan floor ceil pow inf pi e fabs isnan prod",
        "string": "Template",
        "signal": "Signals",
        "http": "HTTPStatus",
        "platform": "uname_result",
        "os": "stat_result",
        "inspect": "Signature Parameter _empty _ParameterKind BoundArguments",
        "dataclasses": "_MISSING_TYPE _HAS_DEFAULT_FACTORY_CLASS _FIELD_BASE Field",
        "typing": "Any Union Optional List Dict Tuple Set FrozenSet Callable Type Sequence Mapping"
        " Iterable Iterator Literal TypeVar Generic NamedTuple NewType ClassVar Final Annotated"
        " _GenericAlias Sized Collection MutableMapping Hashable NoReturn Text AnyStr Protocol",
        "torch": f"{_TORCH_STORAGES} {_TORCH_DTYPES} {_TORCH_VALUES}",
        "torch.cuda": _TORCH_STORAGES + " FloatTensor HalfTensor LongTensor",
        "torch.storage": _TORCH_STORAGES,
        "torch._utils": "_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter"
        " _rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor"
        " _rebuild_sparse_csr_tensor _rebuild_meta_tensor_no_storage _rebuild_nested_tensor"
        " _rebuild_wrapper_subclass _rebuild_device_tensor_from_numpy"
        " _rebuild_device_tensor_from_cpu_tensor _rebuild_xla_tensor",
        "torch._tensor": "_rebuild_from_type_v2 Tensor",
        "torch.nn.parameter": "Parameter Buffer UninitializedParameter UninitializedBuffer",
        "torch.serialization": "_get_layout",
        "torch._dynamo.eval_frame": "OptimizedModule",
        "torch._dynamo.decorators": "_DimRange",
        "numpy": "ndarray dtype",
        "numpy.core.multiarray": "_reconstruct scalar",
        "numpy._core.multiarray": "_reconstruct scalar",
        "numpy.core.numeric": "_frombuffer",
        "numpy._core.numeric": "_frombuffer",
        "numpy.ma": "_mareconstruct MaskedArray",
        "numpy.ma.core": "_mareconstruct MaskedArray",
        "numpy.random": "RandomState",
        "numpy.random.mtrand": "RandomState",
        "numpy.random._pickle": "__randomstate_ctor __generator_ctor __bit_generator_ctor",
        "numpy.random._mt19937": "MT19937",
        "numpy.random._pcg64": "PCG64 PCG64DXSM",
        "numpy.random._philox": "Philox",
        "numpy.random._sfc64": "SFC64",
        **DATA_CLASSES,
    }.items()
}

# pickle names these in any module that has an attribute "torch".
MEMORY_FORMATS = _words(
    "torch.contiguous_format torch.channels_last torch.channels_last_3d torch.preserve_format"
)

# Part of the standard library once, or installed beside it, and no less able to do harm.
FORMER_STDLIB = _words(
    "test distutils imp asyncore asynchat smtpd lib2to3 commands popen2 new"
    " rexec Bastion nt posix _posixsubprocess crypt nis pipes telnetlib nntplib cgi cgitb"
    " imghdr xdrlib"
)

# Packages of the standard library; below any other of its names lies somebody else's module.
STDLIB_PACKAGES = _words(
    "asyncio collections compression concurrent ctypes curses dbm distutils email encodings"
    " ensurepip html http idlelib importlib json lib2to3 logging msilib multiprocessing os"
    " pathlib pydoc_data re sqlite3 string sys sysconfig test tkinter tomllib turtledemo"
    " unittest urllib venv wsgiref xml xmlrpc zipfile zoneinfo _pyrepl site profile profiling"
)

# Whole packages whose calls run commands, fetch, import, unpickle or evaluate.
DANGEROUS_PACKAGES = _words(
    "pip setuptools _distutils_hack pkg_resources pytest _pytest py nose IPython ipykernel"
    " ipywidgets notebook jupyter jupyter_client jupyter_core nbformat nbconvert nbclient dill"
    " cloudpickle jsonpickle pickle5 klepto pox yaml ruamel requests httpx httpcore urllib3"
    " aiohttp websocket websockets tornado twisted flask werkzeug django gunicorn uvicorn"
    " paramiko invoke plumbum sh pexpect ptyprocess psutil boto3 botocore docker"
    " ansible celery scapy pwn win32api win32com pythoncom virtualenv distlib cffi"
    " pyximport Cython execnet rpyc Pyro4 Pyro5 zmq nodeenv hatchling poetry pdm"
    " twine pyautogui pynput asyncssh pywinauto"
)

# Modules, with everything below them.
DANGEROUS_MODULES = _words(
    "torch.hub torch.ops torch._ops torch.classes torch._classes torch.package"
    " torch.utils.collect_env torch.utils.cpp_extension torch.utils.bottleneck"
    " torch.utils.benchmark torch.utils._config_module torch.utils.model_zoo"
    " torch.utils.model_dump torch.utils.mobile_optimizer torch.utils.hipify"
    " torch.utils._cpp_extension_versioner torch.utils.data.datapipes.utils.decoder"
    " torch.utils.file_baton torch.utils.data.datapipes.utils.common torch._inductor"
    " torch._dynamo torch._functorch torch.testing torch.multiprocessing torch.distributed.run"
    " torch.distributed.launch torch.distributed.launcher torch.distributed.elastic"
    " torch.distributed.rpc torch.onnx torch.export torch._export torch.serialization"
    " torch._jit_internal torch.jit._serialization torch._weights_only_unpickler torch.contrib"
    " torch.backends.xeon torch.xpu._utils torch._appdirs torch._sources torch.compiler"
    " torch.monitor numpy.testing numpy.f2py numpy.distutils numpy.ctypeslib numpy.lib.npyio"
    " numpy.lib._npyio_impl numpy.lib.format numpy.lib._format_impl numpy.lib.utils"
    " numpy.lib._datasource numpy._pytesttester numpy.conftest numpy.core.tests pandas.io"
    " pandas.core.computation pandas.compat pandas.testing pandas._testing joblib.externals"
    " joblib.memory joblib.parallel joblib.numpy_pickle_utils scipy._lib scipy.io"
    " scipy.datasets sympy.parsing sympy.utilities.lambdify huggingface_hub.utils"
    " huggingface_hub.file_download transformers.utils.hub transformers.dynamic_module_utils"
    " torchvision.datasets.utils matplotlib.testing tensorflow.python.platform keras.src.utils"
    " lightning.fabric.utilities.cloud_io PIL.ImageMath PIL.ImageShow numba.core.dispatcher"
    " numba.pycc nltk.data"
)

# Single names: (module, first part of the qualname).
DANGEROUS_NAMES = frozenset(
    (module, name)
    for module, names in {
        "torch": "load save from_file import_ir_module import_ir_module_from_buffer compile ops"
        " classes hub serialization package",
        "torch.jit": "load save jit_module_from_flatbuffer CompilationUnit",
        "torch._C": "import_ir_module import_ir_module_from_buffer PyTorchFileReader"
        " PyTorchFileWriter _import_ir_module_from_package CompilationUnit _jit_get_operation",
        "torch.storage": "_load_from_bytes",
        "torch.fx.graph_module": "reduce_graph_module reduce_package_graph_module"
        " reduce_deploy_graph_module _forward_from_src _exec_with_source _deserialize_graph_module",
        "torch.fx._lazy_graph_module": "_force_skip_lazy_graph_module",
        "numpy": "load save savez savez_compressed fromfile loadtxt savetxt genfromtxt fromregex"
        " memmap DataSource lookfor source safe_eval os sys",
        "numpy.core.records": "fromfile",
        "numpy._core.records": "fromfile",
        "numpy.core.memmap": "memmap",
        "pandas": "read_pickle to_pickle read_csv read_table read_json read_html read_sql read_hdf"
        " read_parquet read_excel read_fwf read_clipboard read_orc read_feather read_stata read_xml"
        " eval HDFStore ExcelFile",
        "joblib": "load dump Memory Parallel",
        "joblib.numpy_pickle": "load dump load_temporary_memmap NumpyUnpickler _unpickle",
        "sympy": "sympify parse_expr lambdify",
        "sympy.core.sympify": "sympify",
        "sklearn.datasets": "fetch_openml fetch_file load_files",
        "huggingface_hub": "snapshot_download hf_hub_download HfApi",
    }.items()
    for name in names.split()
)

# A function of this name is one thing only, in whatever module it is found.
TELLTALE_NAMES = _words(
    "eval exec execfile system popen Popen check_output check_call getoutput getstatusoutput"
    " import_module __import__ runcode runsource runstring exec_module load_module run_path"
    " run_module spawnv spawnl spawnvp spawnlp execv execve execl execvp execlp posix_spawn"
    " unsafe_load run_shell_command urlopen urlretrieve rmtree"
)

# Passing through one of these on the way to an attribute reaches the module itself.
THROUGH = _words(
    "os posix nt sys subprocess builtins __builtins__ __builtin__ importlib runpy pty socket"
    " ctypes shutil pickle _pickle marshal code operator functools commands platform tempfile"
    " signal threading multiprocessing asyncio urllib http inspect types io gc pydoc timeit"
    " webbrowser pathlib glob warnings traceback linecache zipfile tarfile logging copyreg"
    " weakref"
)
