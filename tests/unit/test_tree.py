"""Examples of the tree room: what each kind of value becomes, and what is refused, with its place."""

import argparse
import dataclasses
import datetime as dt
import enum
import struct
import subprocess
import sys
import types
from collections import OrderedDict, defaultdict
from decimal import Decimal
from pathlib import PosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np
import pytest
import torch

from ckptkit.errors import LimitExceededError, ManifestError, UnrepresentableError
from ckptkit.nodes import Atom, GlobalName, MapNode, Record, SeqNode, Storage, TensorNode
from ckptkit.testing.strategies import HeldBytes
from ckptkit.tree import (
    equal,
    first_difference,
    flatten,
    path_text,
    to_node,
    to_python,
    unflatten,
    walk,
)
from ckptkit.types import DTYPES


def tensor(storage=None, **changes):
    fields = {"dtype": DTYPES["float32"], "shape": (2,), "strides": (1,), "offset": 0} | changes
    return TensorNode(storage=storage or Storage("0", 64, HeldBytes(b"x" * 64)), **fields)


# -- tokens ----------------------------------------------------------------------------------------


def test_the_tokens_are_those_of_the_law():
    shared = SeqNode([1], "tuple")
    tree = MapNode(
        [("a", shared), ("b", shared), (2, "x"), ("n", GlobalName("m", "q"))], "OrderedDict"
    )
    assert flatten(tree).tokens == [
        [1, 1, 4], "a", [2, 1, 1], 1, "b", [0, 1], 2, "x", "n", [5, "m", "q"],
    ]  # fmt: skip


def test_odd_scalars_have_tokens_of_their_own():
    tree = SeqNode([2**64, -(2**63) - 1, "\ud800", 1j, -0.0])
    assert flatten(tree).tokens == [
        [2, 0, 5], [9, b"\x01" + bytes(8)], [9, b"\xff\x7f" + b"\xff" * 7], [8, b"\xed\xa0\x80"], [10, 0.0, 1.0], -0.0,
    ]  # fmt: skip


def test_a_tie_shares_its_leaf_but_keeps_what_is_its_own():
    storage = Storage("0", 64, HeldBytes(b"x" * 64))
    one, two = tensor(storage, flavour="parameter", requires_grad=True), tensor(storage)
    flat = flatten(SeqNode([one, two, one, tensor(storage, offset=4)]))
    assert flat.tokens[1:] == [[6, 0], [6, 0, 0, False, None, False], [0, 1], [6, 1]]
    again = unflatten(flat.tokens, flat.leaves)
    assert again.items[0] is again.items[2] is one
    assert again.items[1] is not one
    assert (again.items[1].flavour, again.items[1].requires_grad) == ("tensor", False)


def test_a_subclass_of_record_is_written_as_a_record():
    class Special(Record):
        __slots__ = ()

    tree = Special(GlobalName("torch", "UntypedStorage"), "persistent", (tensor(),))
    flat = flatten(tree)
    again = unflatten(flat.tokens, flat.leaves)
    assert type(again) is Record
    assert equal(tree, again)
    assert [path for path, _ in walk(again)] == [(), (".args", 0)]


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        ([], "end in the middle"), ([[1, 0, 1], "a"], "end in the middle"), ([None, None], "more tokens"),
        ([[99]], "unknown code 99"), ([[]], "no token"), ([["a"]], "no token"), ([[True, 0, 0]], "no token"), ([{}], "no token"),
        ([[0, 0]], "node 0"), ([[2, 0, 1], [0, 1]], "node 1"), ([[2, 0, 1], [0, -1]], "node -1"), ([[1, 4, 0]], "kind of mapping"),
        ([[2, 6, 0]], "kind of sequence"), ([[2, 0, -1]], "count"), ([[2, 0, 1.0]], "count"), ([[2, 0, 2**70]], "end in the middle"),
        ([[1, 0, 0, 4]], "flags"), ([[2, 0, 0, 2]], "flags"), ([[1, 0, 2], "a", 1, "a", 2], "one key twice"),
        ([[1, 0, 1], [2, 0, 0], 1], "as a key"), ([[1, 0, 1], [1, 0, 0], 1], "as a key"),
        ([[1, 0, 0, 1], [2, 0, 0]], "where a mapping belongs"), ([[3, "m", "q", 0, 0, 1, None, None], 5], "where a mapping"),
        ([[3, "m", "q", 4, 0, 0, None, None]], "way of making"), ([[3, 1, "q", 0, 0, 0, None, None]], "where text belongs"),
        ([[3, "m", "q", 0, 0, 0, None]], "items"), ([[6, 1]], "leaf 1"), ([[6, -1]], "leaf -1"), ([[7, 0]], "not a BlobNode"),
        ([[6, 0, 0]], "length"), ([[6, 0, 9, False, None, False]], "flavour"), ([[6, 0, 4, False, None, False]], "flavour"),
        ([[6, 0, 0, 1, None, False]], "booleans"), ([[6, 0, 0, False, ["worse", 1], False]], "rule"),
        ([[6, 0, 0, False, ["plain"], False]], "rule"), ([[6, 0, 0, False, ["plain", -1], False]], "count"),
        ([[6, 0, 0, False, None, True], 5], "where a mapping"), ([[8, "plain"]], "odd text"), ([[8, b"plain"]], "plain UTF-8"),
        ([[8, b"\xff"]], "decode"), ([[9, b"\x05"]], "integer"), ([[9, bytes(20)]], "integer"), ([[9, b""]], "integer"), ([[9, 5]], "bytes of an integer"),
        ([[10, 1, 2]], "floats"), ([[10, 1.0]], "items"), ([[2, 1, 1], [1, 0, 1], [0, 0], 1], "contains itself|cannot be"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(tokens, says):
    with pytest.raises(ManifestError, match=says) as caught:
        unflatten(tokens, [tensor()], where="model")
    assert caught.value.where.startswith("model token")


def test_keys_that_share_their_parts_cannot_cause_endless_work():
    # One tuple of 9,000 items, named as a part of the keys of very many mappings.
    tokens = [[2, 0, 3_001], [2, 1, 9_000], *range(9_000)]
    for _ in range(3_000):
        tokens += [[1, 0, 1], [2, 1, 1], [0, 1], None]
    with pytest.raises(ManifestError, match="too often"):
        unflatten(tokens, [])
    with pytest.raises(ManifestError, match="more than 10000 nodes"):
        unflatten([[1, 0, 1], [2, 1, 20_000], *range(20_000), None], [])


# -- paths and walk --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "/"), (("optimizer", "state", 1, "exp_avg"), "optimizer/state/1/exp_avg"), (("a/b", "c\\d"), "a\\/b/c\\\\d"),
        (("\x1b[31m", "\u202e", "\n", "\x00"), "\\x1b[31m/\\u202e/\\n/\\x00"), (("\ud800",), "\\ud800"), (("ключ",), "ключ"),
        ((b"\x00/",), "b'\\x00\\/'"), ((None, True, 1.5, -7), "None/True/1.5/-7"), (("",), "''"), ((1 << 5000,), "<integer of 5001 bits>"),
        ((SeqNode([1, "a", SeqNode([], "tuple")], "tuple"),), "(1, 'a', ())"), (("x" * 500,), "x" * 200 + "…"),
        ((GlobalName("m\x1b", "q"),), "m\\x1b.q"), ((Atom("PosixPath", ("/a",)),), "PosixPath('\\/a')"),
    ],
)  # fmt: skip
def test_paths_print_safely(path, text):
    assert path_text(path) == text


def test_walk_shows_every_part_where_it_is():
    attrs = MapNode({"_metadata": MapNode({"": 1})})
    record = Record(
        GlobalName("m", "q"),
        "call",
        (1,),
        MapNode({"k": 2}),
        [3, MapNode({"s": 4})],
        [5],
        MapNode({"e": 6}),
    )
    tree = MapNode(
        [
            ("od", MapNode([], "OrderedDict", attrs)),
            ("r", record),
            (SeqNode([7], "tuple"), 8),
            ("at", Atom("slice", (1, None, 2))),
        ]
    )
    places = {path_text(path): node for path, node in walk(tree)}
    leaves = {text: node for text, node in places.items() if type(node) is int}
    assert leaves == {
        "od/._metadata/''": 1, "r/.args/0": 1, "r/.kwargs/k": 2, "r/.states/0": 3, "r/.state/s": 4, "r/.items/0": 5,
        "r/.entries/e": 6, ".keys/2/0": 7, "(7)": 8,
    }  # fmt: skip
    assert places["at"].kind == "slice"


def test_walk_names_an_aliased_tensor_twice_and_an_aliased_list_once():
    shared, one = SeqNode([1]), tensor()
    tree = MapNode({"a": one, "b": one, "c": shared, "d": shared})
    assert [path_text(path) for path, _ in walk(tree)] == ["/", "a", "b", "c", "c/0"]


# -- equal -----------------------------------------------------------------------------------------


def nan(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True), (1, 1.0), (0.0, -0.0), (nan(0x7FF8 << 48), nan((0x7FF8 << 48) + 1)), (complex(0, 0.0), complex(0, -0.0)), ("a", b"a"),
        (MapNode({"a": 1}), MapNode({"b": 1})), (MapNode([("a", 1), ("b", 2)]), MapNode([("b", 2), ("a", 1)])),
        (MapNode({}, "dict"), MapNode({}, "OrderedDict")), (MapNode({}), MapNode({}, attrs=MapNode())), (SeqNode([]), SeqNode([], "tuple")),
        (SeqNode([1]), SeqNode([1, 2])), (MapNode([(1, 0)]), MapNode([(True, 0)])), (Atom("a", ()), Atom("b", ())),
        (Record(GlobalName("a", "b"), "call"), Record(GlobalName("a", "b"), "new")),
        (Record(GlobalName("a", "b"), "call"), Record(GlobalName("a", "b"), "call", states=[])), (tensor(), tensor()),
    ],
)  # fmt: skip
def test_what_differs_is_not_equal(left, right):
    assert not equal(left, right)
    assert not equal(SeqNode([0, left]), SeqNode([0, right]))
    assert first_difference(SeqNode([0, left]), SeqNode([0, right]))[:1] == (1,)


def test_aliases_count_only_when_asked():
    one = SeqNode([])
    left, right = SeqNode([one, one]), SeqNode([SeqNode([]), SeqNode([])])
    assert equal(left, right)
    assert not equal(left, right, same_aliases=True)
    assert not equal(right, left, same_aliases=True)


def test_two_unrollings_of_one_cycle_are_equal_but_not_the_same_graph():
    one, first, second = SeqNode([]), SeqNode([]), SeqNode([])
    one.items.append(one)
    first.items.append(second)
    second.items.append(first)
    assert equal(one, first)
    assert not equal(one, first, same_aliases=True)


# -- live values -----------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class AttributeDict(dict):
    pass


@dataclasses.dataclass
class Settings:
    lr: float
    names: list


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    "value",
    [
        torch.float32, torch.bfloat16, torch.device("cpu"), torch.device("cuda", 3), torch.Size([2, 3]), torch.Size([]), torch.strided,
        torch.sparse_coo, torch.channels_last, torch.per_tensor_affine, np.dtype("f4"), np.dtype(">i2"), np.dtype("U7"), np.dtype("M8[25s]"),
        np.dtype([("a", "<i4"), ("b", "S3", (2,))]), np.dtype({"names": ["x"], "formats": ["<f8"], "offsets": [8], "itemsize": 24}),
        np.float64(3.5), np.int8(-3), np.bool_(True), np.str_("äö"), np.str_(""), np.bytes_(b"ab"), np.datetime64("2020-01-01", "ns"),
        np.complex64(1 + 2j), np.longdouble(1) / 3, dt.datetime(2020, 10, 25, 2, 30, tzinfo=dt.UTC, fold=1), Decimal("1E+400"), ...,
        NotImplemented, bytearray(b"x"), OrderedDict(a=1), defaultdict(list, a=[1]), defaultdict(None), frozenset({(1, 2), "a"}),
    ],
)  # fmt: skip
def test_known_values_come_back_exactly(value):
    again = to_python(to_node([value]))[0]
    assert type(again) is type(value)
    assert again == value
    node = to_node(value)
    flat = flatten(node)
    assert equal(unflatten(flat.tokens, []), node)


def test_order_and_attributes_of_an_ordered_dict_survive():
    value = OrderedDict(a=1, b=2)
    value.move_to_end("a")
    value._metadata = OrderedDict(v=1)
    again = to_python(to_node(value))
    assert list(again) == ["b", "a"]
    assert again._metadata == value._metadata
    again.move_to_end("b")
    assert list(again) == ["a", "b"]


def test_cycles_through_every_mutable_kind_come_back():
    value = [{}, OrderedDict(), defaultdict(dict)]
    value[0]["self"], value[1]["up"], value[2]["t"] = value, (value, value[0]), (value,)
    again = to_python(to_node(value))
    assert again[0]["self"] is again
    assert again[1]["up"][0] is again
    assert again[1]["up"][1] is again[0]
    assert again[2]["t"][0] is again


def test_foreign_objects_that_are_data_become_records():
    value = {
        "enum": Colour.RED, "map": AttributeDict(a=[1]), "point": Point(1, 2), "settings": Settings(0.1, ["x"]),
        "args": argparse.Namespace(lr=1), "ns": types.SimpleNamespace(a=2), "version": torch.torch_version.TorchVersion("2.1"),
    }  # fmt: skip
    node = to_node(value)
    assert all(type(child) is Record for child in node.values())
    assert (node["enum"].how, node["enum"].args) == ("call", ("red",))
    assert to_python(node["map"].entries) == {"a": [1]}
    assert to_python(node["point"].kwargs) == {"x": 1, "y": 2}
    assert to_python(node["settings"].state) == {"lr": 0.1, "names": ["x"]}
    assert node["args"].name == GlobalName("argparse", "Namespace")
    assert node["version"].args == ("2.1",)
    again = to_python(node)
    assert again["enum"] is node["enum"]
    assert equal(to_node(again), node)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (lambda: 1, "function"), (print, "builtin"), (object(), "builtins.object"), (Colour, "EnumType|EnumMeta"), (sys, "module"), (iter([]), "iterator"),
        (torch.nn.Linear(1, 1), "Linear"), (torch.Generator(), "Generator"), (np.array([object()]), "ndarray"), (defaultdict(lambda: 1), "lambda"),
        (torch.ones(1), "Tensor"), (open, "builtin"), (memoryview(b""), "memoryview"),
    ],
)  # fmt: skip
def test_what_is_no_data_is_refused_with_its_place(value, seen):
    with pytest.raises(UnrepresentableError, match=seen) as caught:
        to_node({"a": [0, {"b": value}]})
    assert caught.value.where.startswith("a/1/b")


def test_tensors_go_through_the_callback_once_each():
    shared, seen = torch.ones(2), []

    def convert(value):
        seen.append(value)
        return tensor()

    node = to_node({"a": shared, "b": [shared], "c": np.ones(2)}, tensor=convert)
    assert len(seen) == 2
    assert node["a"] is node["b"].items[0]
    live = to_python(node, tensor=lambda made: ["tensor", made.shape])
    assert live["a"] is live["b"][0]
    assert live["a"] == ["tensor", (2,)]


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (MapNode([(Atom("bytearray", (b"x",)), 1)]), "cannot be a key"), (SeqNode([SeqNode([], "list")], "set"), "cannot be a key"),
        (Atom("no-such", ()), "unknown kind 'no-such'"), (Atom("date", (2020, 13, 1)), "do not fit"), (Atom("date", ("a",)), "do not fit"),
        (Atom("torch.dtype", ("__class__",)), "do not fit"), (Atom("torch.dtype", ("nn",)), "do not fit"), (Atom("torch.device", (b"x",)), "do not fit"),
        (Atom("numpy.dtype", ("O8, f4",)), "do not fit"), (Atom("numpy.scalar", ("<f8", b"x")), "do not fit"), (Atom("numpy.scalar", ("|O", bytes(8))), "do not fit"),
        (Atom("bytearray", (1 << 40,)), "do not fit"), (Atom("PosixPath", (1,)), "do not fit"), (Atom("timedelta", (10**12, 0, 0)), "do not fit"),
        (Atom("zoneinfo.ZoneInfo", ("../../etc/passwd",)), "do not fit"), (Atom("range", (0, 1, 0)), "do not fit"),
        (MapNode({}, attrs=MapNode({"a": 1})), "with attributes"), (SeqNode([1, 2], "deque", MapNode({"maxlen": 1})), "longer"),
        (SeqNode(["x"], "torch.Size"), "do not fit"),
    ],
)  # fmt: skip
def test_what_python_cannot_hold_is_refused_with_its_place(node, says):
    with pytest.raises(UnrepresentableError, match=says) as caught:
        to_python(MapNode({"top": SeqNode([0, node])}))
    assert caught.value.where.startswith("top/1")


def test_a_foreign_factory_is_refused():
    node = MapNode([], "defaultdict")
    node.factory = GlobalName("os", "system")
    with pytest.raises(UnrepresentableError, match="factory"):
        to_python(node)


def test_frozen_values_inside_themselves_are_refused():
    node = SeqNode([], "tuple")
    node.items.append(Atom("slice", (node, None, None)))
    with pytest.raises(UnrepresentableError, match="inside itself"):
        to_python(node)


def test_keys_made_to_collide_are_refused_before_they_are_used():
    keys = [(n * (2**61 - 1), None) for n in range(1, 1_500)]
    with pytest.raises(LimitExceededError, match="one hash"):
        to_python(MapNode(keys))
    assert len(to_python(MapNode([(n, None) for n in range(5_000)]))) == 5_000


def test_a_path_of_the_other_system_comes_back_as_its_text():
    assert to_python(Atom("WindowsPath", ("C:\\x",))) == PureWindowsPath("C:\\x")
    assert type(to_python(to_node(PosixPath("/x")))) is PosixPath


def test_sets_are_written_in_one_order_whatever_the_hash_seed():
    program = "from ckptkit.tree import to_node; print(to_node({'b', 'a', (1, 'x'), (2, 'y'), 5, b'z'}).items)"
    runs = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len({run.replace(" ", "") for run in runs}) == 1


def test_the_tree_imports_neither_torch_nor_numpy():
    program = "import sys, ckptkit.tree as t; t.to_python(t.to_node({'a': [1, {2}]})); print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
