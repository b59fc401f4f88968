"""Which names alarm, which do not, and the verdict of a whole file."""

import pickle
from pathlib import Path

import pytest

from ckptkit.containers.pickle_vm import read_pickle
from ckptkit.containers.rebuild import CALLS, NEWS, VALUES
from ckptkit.containers.trace import Tracer
from ckptkit.danger import LEVELS, classify
from ckptkit.danger_names import DANGEROUS_NAMES, HARMLESS
from ckptkit.errors import ContainerError, DangerFoundError, PickleStreamError, TruncatedFileError
from ckptkit.protocols import StreamScan
from ckptkit.types import DEFAULT_LIMITS
from ckptkit.verbs.scan import report

DANGEROUS = ["os.system", "posix.system", "nt.system", "os.popen", "subprocess.Popen", "builtins.eval", "builtins.exec", "builtins.getattr", "__builtin__.eval", "__builtin__.execfile", "commands.getoutput", "operator.attrgetter", "_operator.methodcaller", "functools.partial", "functools.reduce", "importlib.import_module", "runpy.run_path", "pty.spawn", "socket.socket", "ctypes.CDLL", "sys.exit", "code.interact", "types.FunctionType", "marshal.loads", "pickle.loads", "_pickle.loads", "cPickle.loads", "shelve.open", "webbrowser.open", "asyncio.run", "timeit.timeit", "cProfile.run", "pdb.run", "doctest.testmod", "distutils.file_util.write_file", "lib2to3.pgen2.grammar.Grammar", "pydoc.locate", "torch.load", "torch.hub.load", "torch.jit.load", "torch.save", "torch.storage._load_from_bytes", "torch.utils.collect_env.run", "torch.utils.cpp_extension.load", "torch._inductor.codecache.compile_file", "torch.serialization.load", "torch.fx.graph_module.reduce_graph_module", "numpy.load", "numpy.testing._private.utils.runstring", "numpy.f2py.crackfortran.myeval", "pandas.read_pickle", "joblib.load", "dill.loads", "cloudpickle.loads", "pip.main", "setuptools.sandbox.run_setup", "pytest.main", "IPython.embed", "yaml.unsafe_load", "requests.get", "urllib.request.urlopen", "urllib2.urlopen", "test.support.script_helper.x", "logging.config.listen", "zipimport.zipimporter", "os.path.join", "some.package.__main__.run", "another.package.system"]  # fmt: skip

QUIET = ["collections.OrderedDict", "builtins.set", "__builtin__.set", "datetime.datetime", "pathlib.PosixPath", "pathlib._local.PosixPath", "argparse.Namespace", "types.SimpleNamespace", "uuid.UUID", "decimal.Decimal", "random.Random", "re._compile", "logging.getLogger", "array._array_reconstructor", "copy_reg._reconstructor", "exceptions.ValueError", "builtins.RuntimeError", "UserDict.UserDict", "torch.FloatStorage", "torch.cuda.HalfStorage", "torch.bfloat16", "torch.nn.modules.linear.Linear", "torch.optim.adamw.AdamW", "torch.nn.functional.gelu", "torch._C._nn.gelu", "torch.distributed.tensor.DTensor", "torch.distributed.device_mesh.DeviceMesh", "torch.distributed.checkpoint.metadata.Metadata", "torch.distributed._shard.sharded_tensor.api.ShardedTensor", "torch._dynamo.eval_frame.OptimizedModule", "__torch__.torch.nn.modules.linear.Linear", "numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray._reconstruct", "numpy.random._pickle.__randomstate_ctor", "numpy.dtypes.Float64DType", "numpy.float64", "scipy.sparse._csr.csr_matrix", "sklearn.linear_model._base.LinearRegression", "pandas.core.frame.DataFrame", "pandas._libs.internals._unpickle_block", "PIL.Image.Image", "pandas.core.internals.managers.BlockManager", "transformers.training_args.TrainingArguments", "accelerate.utils.dataclasses.DistributedType", "peft.tuners.lora.config.LoraConfig", "lightning.fabric.utilities.data.AttributeDict", "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint", "deepspeed.runtime.fp16.loss_scaler.LossScaler", "megatron.core.enums.ModelType", "ultralytics.nn.tasks.DetectionModel", "models.yolo.Model", "timm.models.layers.drop.DropPath", "detectron2.config.config.CfgNode", "fairseq.data.dictionary.Dictionary", "omegaconf.dictconfig.DictConfig", "omegaconf.base.ContainerMetadata", "mmengine.logging.history_buffer.HistoryBuffer", "__main__.Config", "my.package.Outer.Inner", "code.models.Net", "utils.config.Config", "build.models.Net", "typing.Any", "enum.Enum", "ipaddress.IPv4Address", "zoneinfo.ZoneInfo._unpickle", "torch._utils.torch.channels_last"]  # fmt: skip


def level(text):
    module, _, name = text.rpartition(".")
    if text == "my.package.Outer.Inner":
        module, name = "my.package", "Outer.Inner"
    if text == "zoneinfo.ZoneInfo._unpickle":
        module, name = "zoneinfo", "ZoneInfo._unpickle"
    if text == "torch._utils.torch.channels_last":
        module, name = "torch._utils", "torch.channels_last"
    return classify(module, name).level


@pytest.mark.parametrize("text", DANGEROUS)
def test_names_that_alarm(text):
    assert level(text) == "dangerous"


@pytest.mark.parametrize("text", QUIET)
def test_names_that_do_not(text):
    assert level(text) in {"known", "unknown"}


def test_what_is_rebuilt_is_known():
    judged = {(pair, classify(*pair).level) for pair in (*CALLS, *NEWS, *VALUES)}
    watched = {("builtins", "getattr"), ("torch.storage", "_load_from_bytes")}
    assert {pair for pair, found in judged if found != "known"} == watched


def test_no_name_is_in_two_lists():
    assert (
        not {(module, name) for module, names in HARMLESS.items() for name in names}
        & DANGEROUS_NAMES
    )


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("os\0", "system", "dangerous"), ("os", "system\0x", "dangerous"), ("os\n", "system", "dangerous"), (" os", "system", "dangerous"),
        ("torch._utils\0", "_rebuild_tensor_v2", "suspicious"), ("t\u043erch._utils", "_rebuild_tensor_v2", "suspicious"),
        ("\uff4fs", "system", "suspicious"), ("torch\u200b", "Size", "suspicious"), ("", "system", "suspicious"), ("a..b", "c", "suspicious"),
        ("torch", "os.system", "dangerous"), ("torch.hub", "os.system", "dangerous"), ("torch", "hub.load", "dangerous"),
        ("torch.nn", "modules.module.torch.hub.load", "dangerous"), ("collections", "OrderedDict.__init__.__globals__", "dangerous"),
        ("my", "C.__globals__", "suspicious"), ("torch", "FloatStorage.from_file", "suspicious"), ("pathlib", "Path.write_text", "dangerous"),
        ("m\u043edel", "Net", "suspicious"), ("m\u0430", "x", "suspicious"), ("\u043c\u043e\u0434\u0435\u043b\u044c", "\u0421\u0435\u0442\u044c", "unknown"),
        ("gr\u00f6\u00dfe", "K", "unknown"), ("a b", "c", "suspicious"), ("m", "1x", "suspicious"), ("copyreg", "extension 0x5", "suspicious"),
        ("x" * 5000, "y", "suspicious"), ("m", "f-g", "suspicious"),
    ],
)  # fmt: skip
def test_names_that_are_not_what_they_seem(module, name, expected):
    assert classify(module, name).level == expected


# -- verdicts --------------------------------------------------------------------------------------


def scan_of(data):
    tracer, error = Tracer("s"), None
    try:
        read_pickle(data, stream="s", tracer=tracer, limits=DEFAULT_LIMITS)
    except ContainerError as exc:
        error = exc
    return report(Path("x.pkl"), "pickle", [tracer.scan(error)])


@pytest.mark.parametrize(
    ("data", "verdict", "finding"),
    [
        (pickle.dumps({"a": [1, {2}, b"x"]}), "clean", None),
        (b"cmy.package\nConfig\n)\x81.", "unknown", None),
        (b"cos\nsystem\n(S'x'\ntR.", "dangerous", DangerFoundError),
        (b"cmy\nC\n(cbuiltins\neval\ntR.", "dangerous", DangerFoundError),
        (b"cos\nsystem\n(S'x'\ntR\xff", "dangerous", DangerFoundError),
        (b"ctorch\x00\nSize\n.", "suspicious", DangerFoundError),
        (b"\x82\x05)R.", "suspicious", DangerFoundError),
        (b"cmy\nC\n}b.", "suspicious", DangerFoundError),
        (b"c__builtin__\ntype\n(S'x'\n)}tR.", "suspicious", DangerFoundError),
        (b"c__builtin__\ntype\n(NtR.", "clean", None),
        (b"]K\x01", "unreadable", TruncatedFileError),
        (b"N\xff", "unreadable", PickleStreamError),
    ],
)
def test_verdicts(data, verdict, finding):
    found = scan_of(data)
    assert found.verdict == verdict
    assert type(found.finding()) is (finding or type(None))


def test_strict_counts_unknown_names_as_a_finding():
    found = scan_of(b"cmy.package\nConfig\n)\x81.")
    assert found.finding() is None
    assert isinstance(found.finding(strict=True), DangerFoundError)
    assert scan_of(b"N.").finding(strict=True) is None


def test_the_worst_come_first_and_everything_is_plain_data():
    import json

    found = scan_of(
        b"(ccollections\nOrderedDict\n)Rcmy\nC\n)Rcos\nsystem\n(S'x'\ntRctorch\x00\nSize\nt."
    )
    levels = [row.level for row in found.rows]
    assert levels == sorted(levels, key=LEVELS.index)
    assert levels[0] == "dangerous"
    assert json.loads(json.dumps(found.to_json()))["verdict"] == "dangerous"
    assert found.to_json()["names"][0]["module"] == "os"


def test_a_container_that_breaks_keeps_what_it_gave():
    def streams():
        yield StreamScan("one", ())
        raise TruncatedFileError("x", "ends early")

    found = report(Path("x"), "torch-zip", streams())
    assert (found.streams, found.verdict) == (("one",), "unreadable")
