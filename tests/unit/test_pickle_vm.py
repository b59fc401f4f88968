"""The pickle machine, opcode by opcode: what it makes, and what it refuses in our own words."""

import pickle
import sys

import pytest

from ckptkit.containers.pickle_vm import read_pickle
from ckptkit.containers.trace import Tracer
from ckptkit.errors import ContainerError, LimitExceededError, PickleStreamError, TruncatedFileError
from ckptkit.nodes import Atom, GlobalName, MapNode, Record, SeqNode
from ckptkit.types import DEFAULT_LIMITS, Limits


def read(data, limits=DEFAULT_LIMITS, **options):
    return read_pickle(data, stream="test", tracer=Tracer("test"), limits=limits, **options).value


def plain(node):
    """A node as Python's own value, for values that are short to write down."""
    if isinstance(node, SeqNode):
        return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[node.kind](
            map(plain, node.items)
        )
    return {key: plain(value) for key, value in node.items()} if isinstance(node, MapNode) else node


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"I01\n.", True), (b"I00\n.", False), (b"I-5\n.", -5), (b"I1\n.", 1), (b"L12L\n.", 12), (b"L12\n.", 12),
        (b"I0x1F\n.", 31), (b"F1.5\n.", 1.5), (b"F1e400\n.", float("inf")), (b"S'a\\x41\\n\\101\\'\\q'\n.", "aA\nA'\\q"),
        (b'S"it\'s"\n.', "it's"), (b"V\\u20ac\\n\n.", "€\\n"), (b"U\x02\xff\xfe.", "ÿþ"), (b"T\x02\x00\x00\x00hi.", "hi"),
        (b"U\x02\xc3\xa9.", "é"), (b"(I1\nI2\nt.", (1, 2)), (b"(I1\nl.", [1]), (b"(S'a'\nI1\nd.", {"a": 1}),
        (b"(I1\nI2\n0.", 1), (b"(I1\n(I2\nI3\n1.", 1), (b"I5\n2\x86.", (5, 5)),
        (b"]p0\ng0\na.", None), (b"(lp0\nI1\nag0\n.", [1]), (b"\x8a\x02\xff\x00.", 255), (b"\x8a\x00.", 0),
        (b"\x8b\x01\x00\x00\x00\x80.", -128), (b"\x80\x05\x95\x02\x00\x00\x00\x00\x00\x00\x00N..", None),
        (b"I7\nr\xff\xff\xff\xff0j\xff\xff\xff\xff.", 7), (b"(K\x01K\x02\x91.", frozenset({1, 2})),
        (b"\x8f(K\x01K\x01\x90.", {1}), (b"]N\x94h\x00.", None), (b"](K\x01K\x02eK\x00K\x09s.", [9, 2]),
    ],
)  # fmt: skip
def test_opcodes_make_values(data, expected):
    value = read(data)
    if expected is None and data[:1] == b"]" and b"g0" in data:
        assert value.items[0] is value  # a list that holds itself
    else:
        assert plain(value) == expected
        assert type(plain(value)) is type(expected)


@pytest.mark.parametrize(
    "data",
    [
        b".", b"N0.", b"h\x00.", b"j\x01\x02\x03\x04.", b"g7\n.", b"t.", b"(", b"e.", b"]e.", b"u.", b"}K\x01s.", b"R.", b"NR.",
        b"cos\nsystem\nNR.", b"Nb.", b"NNb.", b"]Na", b"\xff.", b"\x80\x06N.", b"\x8b\xff\xff\xff\xff.", b"I\n.", b"Ixyz\n.", b"L1_0\n.",
        b"I010\n.", b"F1_0\n.", b"F\n.", b"S'abc\n.", b"S'\\x4'\n.", b"Sabc\n.", b"V\\u12\n.", b"X\x02\x00\x00\x00\xff\xfe.", b"]K\x01K\x02s.",
        b"}]K\x01s.", b"}}K\x01s.", b"\x8f(]\x90.", b"(]\x91.", b"NK\x01a.", b"c\xff\nx\n.", b"K\x01K\x02\x93.", b"(o.", b"(d1.", b"(K\x01d.",
        b"\x97.", b"N\x98.", b"T\xff\xff\xff\xff.", b"P\xff\n.", b"p-1\n.", b"Np-1\n.", b"cos\nsystem\nNb.", b"cos\nsystem\nNa.", b"]]N\x92.",
        b"\x82\x00.", b"\x84\x00\x00\x00\x80.",
    ],
)  # fmt: skip
def test_what_no_pickler_writes_is_refused(data):
    with pytest.raises(ContainerError):
        read(data)


@pytest.mark.parametrize("protocol", range(6))
def test_every_cut_of_an_honest_pickle_is_a_truncation(protocol):
    value = {
        "a": [1, 2.5, "é", b"xy", (1,), {"b": None}],
        "c": {1, 2},
        3: 2**70,
        "d": -5,
        "e": True,
    }
    data = pickle.dumps(value, protocol)
    assert plain(read(data))["a"][:3] == [1, 2.5, "é"]
    for end in range(len(data)):
        with pytest.raises((TruncatedFileError, PickleStreamError)):
            read(data[:end])


@pytest.mark.parametrize("code", [b"X", b"B", b"T", b"\x8d", b"\x8e", b"\x96", b"\x8b", b"\x95"])
def test_a_length_beyond_the_data_allocates_nothing(code):
    length = b"\xff\xff\xff\x7f" + (b"\0\0\0\x7f" if code in b"\x8d\x8e\x96\x95" else b"")
    with pytest.raises(TruncatedFileError):
        read(code + length + b"abc.")


def test_nothing_is_resolved_imported_or_called():
    before = set(sys.modules)
    value = read(b"cckptkit_nowhere\nboom\n(S'x'\ntR}S'a'\nK\x01sb.")
    assert isinstance(value, Record)
    assert (value.name, value.how, value.args) == (("ckptkit_nowhere", "boom"), "call", ("x",))
    assert value.state["a"] == 1
    assert not any(name.startswith("ckptkit_nowhere") for name in set(sys.modules) - before)


@pytest.mark.parametrize(
    "data",
    [
        b"cm\nC\n)\x81.", b"(cm\nC\no.", b"(im\nC\n.", b"\x8c\x01m\x8c\x01C\x93)\x81.", b"cm\nC\n)}\x92.",
        b"\x8c\x01C\x94\x8c\x01m\x94h\x01h\x00\x93)\x81.", b"\x8c\x01m\x8c\x01C2\x94002h\x00\x93)\x81.",
    ],
)  # fmt: skip
def test_every_way_to_a_new_object_is_the_same_record(data):
    value = read(data)
    assert (value.name, value.how) == (GlobalName("m", "C"), "new")


def test_records_keep_everything():
    value = read(b"cm\nC\n(K\x01tR(K\x02K\x03e(K\x04K\x05uK\x06b}S'k'\nK\x07sb.")
    assert value.items == [2, 3]
    assert value.entries.items() == [(4, 5)]
    assert value.states[0] == 6
    assert value.states[1]["k"] == 7
    assert read(b"cm\nC\n)}S'k'\nK\x01s\x92.").kwargs["k"] == 1
    assert read(b"S'1'\nQ.").how == "persistent"
    assert read(b"Pabc\n.").args == ("abc",)
    assert read(b"\x82\x05.").how == "extension"


def test_a_state_of_attributes_stays_beside_the_pairs():
    value = read(b"ccollections\nOrderedDict\n)R}S'_metadata'\nK\x01sb.")
    assert (value.kind, len(value), value.attrs["_metadata"]) == ("OrderedDict", 0, 1)


# -- limits ----------------------------------------------------------------------------------------


def test_nesting_of_any_depth_is_read_compared_and_freed_without_recursion():
    depth = 100_000
    for data in (
        b"]" * depth + b"a" * (depth - 1) + b".",
        b")" + b"\x85" * depth + b".",
        b"}" + b"N}" * depth + b"s" * depth + b".",
    ):
        value = read(data)
        assert repr(value)
        del value
    lists = read(b"(" * depth + b"l" * depth + b".")
    assert len(lists) == 1


def test_budgets_are_named_limits():
    with pytest.raises(LimitExceededError, match="base_nodes"):
        read(b"]" * 2000 + b".", Limits(base_nodes=1000))
    with pytest.raises(LimitExceededError, match="max_pickle_nbytes"):
        read(b"N" * 100 + b".", Limits(max_pickle_nbytes=50))
    with pytest.raises(LimitExceededError, match="marks"):
        read(b"(" * 300_000 + b".")
    with pytest.raises(LimitExceededError):
        read(b"L" + b"9" * 5000 + b"L\n.")
    assert (
        read(b"\x8b\x00\x00\x10\x00" + b"\x7f" * (1 << 20) + b".").bit_length() == 8 * (1 << 20) - 1
    )


def billion_laughs(levels):
    return b")" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(levels))


def test_shared_parts_cost_once_as_values_and_as_keys():
    read(billion_laughs(200) + b".")
    value = read(b"}" + billion_laughs(200) + b"K\x01s.")
    assert len(value) == 1
    with pytest.raises(LimitExceededError, match="max_key_nodes"):
        read(b"}" + b")" + b"\x85" * 20_000 + b"K\x01s.")


def test_a_huge_key_used_often_is_bounded():
    key = b"\x8b\x00\x00\x08\x00" + b"\x7f" * (1 << 19) + b"q\x00"
    data = b"}" + key + b"Ns" + b"h\x00Ns" * 100_000 + b"."
    with pytest.raises(LimitExceededError):
        read(data)


def test_far_memo_entries_are_sparse():
    assert read(b"K\x01r\xff\xff\xff\xff0K\x02r\xfe\xff\xff\xff0j\xff\xff\xff\xff.") == 1


def test_memoize_counts_entries_as_the_c_unpickler_does():
    data = b"\x80\x04K\x01q\x05\x30K\x02\x94\x30h\x01."
    assert read(data) == pickle.loads(data) == 2


# -- traces ----------------------------------------------------------------------------------------


def uses_of(data, error=False):
    tracer = Tracer("t")
    try:
        read_pickle(data, stream="t", tracer=tracer, limits=DEFAULT_LIMITS)
        assert not error
    except ContainerError:
        assert error
    return {(use.module, use.qualname, use.how): use for use in tracer.scan().uses}


def test_a_trace_survives_the_breakage():
    found = uses_of(b"cos\nsystem\n(S'x'\ntR\xff", error=True)
    assert found["os", "system", "called"].times == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"cos\nsystem\n(S'x'\ntR.",
        b"\x8c\x02os\x94\x8c\x06system\x94\x93)R.",
        b"(S'x'\nios\nsystem\n.",
    ],
)
def test_what_hides_behind_a_breakage_is_found(payload):
    assert ("os", "system", "named") in uses_of(b"N\xff" + payload, error=True)


def test_named_called_and_built_are_told_apart():
    found = uses_of(b"cm\nA\ncm\nB\n)Rcm\nC\n)R}b\x87.")
    assert {key[1:] for key in found} == {
        ("A", "named"),
        ("B", "called"),
        ("C", "called"),
        ("C", "built"),
    }


@pytest.mark.parametrize(
    ("data", "harmless"),
    [
        (b"c__builtin__\ngetattr\n(cmmengine.logging\nHistoryBuffer\nS'mean'\ntR.", True),
        (b"c__builtin__\ngetattr\n(cm\nC\nS'__class__'\ntR.", False),
        (b"c__builtin__\ngetattr\n(c__builtin__\nobject\nS'mean'\ntR.", False),
        (b"c__builtin__\ngetattr\nq\x000cm\nC\n(h\x00tR0h\x00(cm\nC\nS'mean'\ntR.", False),
        (b"cfunctools\npartial\n(cm\nf\ntR.", True),
        (b"cfunctools\npartial\n(cos\nsystem\ntR.", False),
    ],
)
def test_arguments_excuse_a_name_or_do_not(data, harmless):
    found = [use for use in uses_of(data).values() if use.qualname in ("getattr", "partial")]
    assert [use.harmless for use in found if use.how == "called"] == [harmless]


def test_byte_strings_that_are_pickles_are_kept_for_the_scanner():
    tracer = Tracer("t")
    inner = b"\x80\x02cos\nsystem\n."
    read_pickle(pickle.dumps([inner, "text"]), stream="t", tracer=tracer, limits=DEFAULT_LIMITS)
    assert [raw for _, raw in tracer.embedded] == [inner]


def test_protocol_5_buffers():
    value = read(pickle.dumps(bytearray(b"abc"), 5))
    assert isinstance(value, Atom)
    assert value.args == (b"abc",)


# -- what older and other writers do -----------------------------------------------------------------


def python_2_array(raw):
    """numpy under Python 2: the data is a ``str``, which is text to nobody but its length."""
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    head = b"cnumpy.core.multiarray\n_reconstruct\nq\x01(cnumpy\nndarray\nK\x00\x85U\x01btRq\x02"
    return (
        b"\x80\x02"
        + head
        + b"(K\x01K%c\x85" % len(raw)
        + dtype
        + b"\x89U"
        + bytes([len(raw)])
        + raw
        + b"tb."
    )


@pytest.mark.parametrize(
    "raw", [b"\xc3\xa9ab", b"\xff\xfe\x00\x80", b"abcd", b"\xe2\x82\xac\xc3\xa9"]
)
def test_arrays_of_python_2_keep_their_bytes(raw):
    value = read(python_2_array(raw))
    out = bytearray(value.nbytes)
    value.storage.source.read_into(0, memoryview(out))
    assert (bytes(out), value.shape, value.flavour) == (raw, (len(raw),), "ndarray")


def test_memo_indices_of_python_2_start_at_one():
    assert plain(read(b"\x80\x02]q\x01(U\x01aq\x02h\x02h\x02e.")) == ["a", "a", "a"]


def test_a_nested_class_is_the_same_name_in_every_protocol():
    old = read(b"c__builtin__\ngetattr\n(cm\nOuter\nX\x05\0\0\0InnertR)\x81.")
    new = read(b"\x8c\x01m\x8c\x0bOuter.Inner\x93)\x81.")
    assert old.name == new.name == GlobalName("m", "Outer.Inner")


def test_time_zones_are_atoms():
    value = read(
        b"c__builtin__\ngetattr\n(czoneinfo\nZoneInfo\nX\x09\0\0\0_unpickletR(X\x0c\0\0\0Asia/TbilisiK\x01tR."
    )
    assert (value.kind, value.args) == ("zoneinfo.ZoneInfo", ("Asia/Tbilisi",))


def test_an_object_array_may_hold_itself():
    dtype = (
        b"cnumpy\ndtype\n(U\x02O8K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    )
    head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btRq\x02"
    value = read(head + b"(K\x01K\x02\x85" + dtype + b"\x89](h\x02K\x05etb.")
    assert isinstance(value, Record)
    assert value.state.items[4].items[0] is value


@pytest.mark.parametrize(
    "place",
    [b"K\0K\3\x85K\1\x85", b"K\2K\1\x85K\1\x85", b"J\xff\xff\xff\xffK\1\x85K\1\x85", b"K\0J\xff\xff\xff\xff\x85K\1\x85",
     b"K\0K\2\x85J\xff\xff\xff\xff\x85", b"K\0K\2\x85)", b"K\0K\2\x85K\2\x85", b"\x88K\1\x85K\1\x85", b"K\0\x88\x85K\1\x85",
     b"K\0K\1\x85\x88\x85", b"K\0K\2K\2\x86K\1", b"G?\xf0\0\0\0\0\0\0K\1\x85K\1\x85", b"\x8a\x09" + b"\xff" * 8 + b"\x7fK\1\x85K\1\x85",
     b"K\0\x8a\x05\0\0\0\0\x01\x8a\x05\0\0\0\0\x01\x86K\0K\0\x86", b"K\0(" + b"K\1" * 65 + b"t(" + b"K\1" * 65 + b"t"],
)  # fmt: skip
def test_a_view_that_leaves_its_storage_is_refused(place):
    from ckptkit.containers.storage_node import StorageNode
    from ckptkit.nodes import Storage
    from ckptkit.types import DTYPES

    def persistent(_):
        return StorageNode(Storage("0", 8, None), DTYPES["float32"])

    def tensor(place):
        return b"ctorch._utils\n_rebuild_tensor_v2\n(NQ" + place + b"\x89}tR."

    honest = read(tensor(b"K\1K\1\x85K\1\x85"), persistent=persistent)
    assert (honest.shape, honest.offset) == ((1,), 1)
    with pytest.raises(ContainerError) as caught:
        read(tensor(place), persistent=persistent)
    assert caught.value.exit_code in {24, 25}
