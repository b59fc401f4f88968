"""Laws of the pickle machine: what pickle writes it reads, and nothing makes it break or reach out."""

import pickle
import pickletools
import sys
from itertools import takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptkit.containers.logical import logical_source
from ckptkit.containers.pickle_vm import read_pickle
from ckptkit.containers.storage_node import StorageNode, parse_storage_id
from ckptkit.containers.trace import Tracer, find_names
from ckptkit.errors import CkptkitError, ContainerError
from ckptkit.nodes import Storage, TensorNode
from ckptkit.testing.strategies_pickle import (
    call_programs,
    damaged_pickles,
    opcode_soup,
    picklable_values,
)
from ckptkit.types import DEFAULT_LIMITS
from tests.laws.agreement import agree


def read(data, persistent=None):
    tracer = Tracer("law")
    return read_pickle(
        data, stream="law", tracer=tracer, limits=DEFAULT_LIMITS, persistent=persistent
    ).value


@settings(max_examples=300, deadline=None)
@given(value=picklable_values(), protocol=st.integers(0, 5), shrunk=st.booleans())
def test_what_pickle_writes_is_read(value, protocol, shrunk):
    data = pickle.dumps(value, protocol)
    if shrunk:
        data = pickletools.optimize(data)
    agree(read(data), written(value, data, protocol))


def written(value, data, protocol):
    """What the pickle says: protocol 0 spells a NaN in words, which have no payload."""
    return value if protocol else pickle.loads(data)


@settings(max_examples=100, deadline=None)
@given(value=picklable_values(), protocol=st.integers(0, 5))
def test_pickles_in_pure_python_write_the_same_to_us(value, protocol):
    data = pickle._dumps(value, protocol)
    agree(read(data), written(value, data, protocol))


@settings(max_examples=100, deadline=None)
@given(values=st.lists(picklable_values(), min_size=2, max_size=4))
def test_pickles_in_a_row_end_where_the_next_begins(values):
    data, position = b"".join(map(pickle.dumps, values)), 0
    for value in values:
        tracer = Tracer("row")
        node, position = read_pickle(
            data, stream="row", tracer=tracer, limits=DEFAULT_LIMITS, start=position
        )
        agree(node, value)
    assert position == len(data)


def storage(pid):
    found = parse_storage_id(pid, "law")
    return (
        None
        if found is None
        else StorageNode(Storage(found.key, found.nbytes, None), found.dtype, name=found.name)
    )


def check_error(error):
    assert str(error)
    assert error.exit_code in range(20, 28)


def use_everything(data):
    """Read, then touch every node and every tensor, as any caller might."""
    last = next(reversed(sys.modules))  # they stand in the order of their import
    try:
        value = read(data, storage)
    except ContainerError as error:
        check_error(error)
        return
    finally:
        news = takewhile(lambda name: name != last, reversed(sys.modules))
        assert {name for name in news if not name.startswith(("ckptkit", "_"))} <= {
            "hashlib", "unicodedata",
        }  # fmt: skip
    list(find_names([value]))
    for node in walk(value):
        repr(node)
        if type(node) is TensorNode and node.storage.source is not None:
            try:
                source = logical_source(node)
                source.read_into(0, memoryview(bytearray(source.nbytes)))
            except CkptkitError as error:
                check_error(error)


def walk(root):
    from ckptkit.containers.trace import _parts
    from ckptkit.nodes import Atom, MapNode, Record, SeqNode

    seen, todo = set(), [root]
    while todo:
        node = todo.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            if isinstance(node, (SeqNode, MapNode, Record, Atom, TensorNode)):
                todo.extend(_parts(node))


@settings(max_examples=1500, deadline=None)
@given(data=opcode_soup())
def test_any_order_of_opcodes_ends_in_nodes_or_our_own_error(data):
    use_everything(data)


@settings(max_examples=1500, deadline=None)
@given(data=call_programs())
def test_any_arguments_of_known_calls_end_in_nodes_or_our_own_error(data):
    use_everything(data)


@settings(max_examples=800, deadline=None)
@given(data=damaged_pickles())
def test_any_damage_ends_in_nodes_or_our_own_error(data):
    use_everything(data)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_end_in_nodes_or_our_own_error(data):
    use_everything(data)


@pytest.mark.parametrize("stem", ["torch-state", "numpy"])
def test_any_damage_to_tensor_pickles_ends_in_nodes_or_our_own_error(stem):
    """Every byte of real rebuild calls changed in turn: arguments of allowed calls are hostile too."""
    np, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
    if stem == "numpy":
        value = [
            np.arange(3.0),
            np.zeros(2, [("a", "i4"), ("b", "S2")]),
            np.float32(1),
            np.array([1, "a"], object),
        ]
        data = pickle.dumps(value, 2)
    else:
        import io
        import warnings
        import zipfile

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            channel = torch.quantize_per_channel(
                torch.ones(2, 2), torch.ones(2), torch.zeros(2), 0, torch.qint8
            )
            value = {
                "q": channel,
                "s": torch.eye(2).to_sparse(),
                "c": torch.eye(2).to_sparse_csr(),
                "p": torch.nn.Parameter(torch.ones(2)),
            }
            file = io.BytesIO()
            torch.save(value, file)
        data = zipfile.ZipFile(file).read("archive/data.pkl")
    use_everything(data)
    for at in range(len(data)):
        for value in (0, 1, 0x28, 0x4E, 0x71, 0xFF, data[at] ^ 1, data[at] ^ 0x80):
            use_everything(data[:at] + bytes([value]) + data[at + 1 :])
