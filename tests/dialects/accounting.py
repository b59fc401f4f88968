"""Live values -> views without any container, and the law that every reading must keep."""

from ckptkit.dialects.recognition import recognise
from ckptkit.hooks.builtins import ckptkit_dialects
from ckptkit.nodes import GlobalName, MapNode, Node, Record, SeqNode, Storage, TensorNode
from ckptkit.protocols import SourceView
from ckptkit.tree import resolve, walk
from ckptkit.types import DTYPES


def tensor(*shape, dtype="float32", storage=None):
    """A tensor that nobody may read: its storage has no bytes."""
    strides = []
    step = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= size
    kind = DTYPES[dtype]
    storage = storage or Storage(key="0", nbytes=step * kind.nbytes, source=None)
    return TensorNode(dtype=kind, shape=shape, strides=tuple(strides), offset=0, storage=storage)


def node_of(value) -> Node:
    """Plain Python -> nodes; nodes stay what they are."""
    if isinstance(value, dict):
        return MapNode([(key, node_of(item)) for key, item in value.items()])
    if isinstance(value, list):
        return SeqNode([node_of(item) for item in value])
    if type(value) is tuple:
        return SeqNode([node_of(item) for item in value], "tuple")
    return value


def view_of(value, name="checkpoint.pt", container="torch-zip"):
    return SourceView(root=node_of(value), container=container, name=name)


def module(name, parameters=(), buffers=(), modules=(), non_persistent=()):
    """A pickled nn.Module as the pickle machine leaves it."""
    state = MapNode(
        {
            "training": True,
            "_parameters": MapNode(dict(parameters)),
            "_buffers": MapNode(dict(buffers)),
            "_non_persistent_buffers_set": SeqNode(list(non_persistent), "set"),
            "_modules": MapNode(dict(modules)),
        }
    )
    package, _, qualname = name.rpartition(".")
    return Record(GlobalName(package, qualname), "new", states=[state])


def linear(n_in=3, n_out=2):
    return module("torch.nn.Linear", {"weight": tensor(n_out, n_in), "bias": tensor(n_out)})


def state_dict(*names, prefix=""):
    names = names or ("conv.weight", "conv.bias", "head.weight")
    return {prefix + name: tensor(2, 3) for name in names}


def adam(n=2, dtype="float32"):
    moments = {"step": tensor(), "exp_avg": tensor(2, 3, dtype=dtype), "exp_avg_sq": tensor(2, 3)}
    return {"state": {i: dict(moments) for i in range(n)},
            "param_groups": [{"lr": 1e-3, "params": list(range(n))}]}  # fmt: skip


def cosine(last=3):
    return {"T_max": 10, "base_lrs": [1e-3], "last_epoch": last, "_step_count": last + 1}


SCALER = {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000,
          "_growth_tracker": 0}  # fmt: skip


def read(value, name="checkpoint.pt", container="torch-zip", wanted=None):
    """Recognise and interpret; every reading that a test makes is held to the law."""
    return read_view(view_of(value, name, container), wanted)


def read_view(view, wanted=None):
    verdict = recognise(view, list(ckptkit_dialects()), wanted)
    reading = verdict.dialect.interpret(view)
    check_accounting(view, reading)
    return verdict, reading


def check_accounting(view, reading):
    """Every leaf lies under a move, and the longest one tells where it is: the same node there."""
    moves = {}
    for move in reading.moves:
        assert _key(move.source) not in moves or move.source == (), f"two moves of {move.source}"
        moves.setdefault(_key(move.source), move)
    for path, node in walk(view.root):
        if isinstance(node, (MapNode, SeqNode)) and len(node):
            continue
        if isinstance(node, Record) or ".keys" in path:
            continue
        move = next(
            (moves[_key(path[:n])] for n in range(len(path), -1, -1) if _key(path[:n]) in moves),
            None,
        )
        assert move is not None, f"{path} lies under no move"
        rest = list(path[len(move.source) :])
        if rest and move.renamed and rest[0] in move.renamed:
            rest[0] = move.renamed[rest[0]]
        there = resolve(reading.document, move.target + tuple(rest))
        assert there is node or (type(there) is type(node) and there == node), (path, move)


def _key(path):
    return tuple((type(key).__name__, key) for key in path)


def codes(reading):
    return {notice.code for notice in reading.notices}
