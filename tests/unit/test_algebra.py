"""What each operation says when it does not fit, and what it does to names."""

from __future__ import annotations

import math
import struct
import tracemalloc

import pytest

from ckptkit.algebra import (
    Cast,
    Concat,
    Custom,
    Drop,
    Fill,
    Normal,
    Pad,
    Rename,
    Reshape,
    Slice,
    Split,
    Stack,
    Transpose,
    Unstack,
    inverse_of,
    joined,
    run,
)
from ckptkit.algebra.initial import ConstantBytes
from ckptkit.algebra.patterns import match, parse
from ckptkit.algebra.rounding import convert, pack
from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.containers.logical import logical_source
from ckptkit.errors import MigrationError, MissingExtraError
from ckptkit.nodes import MapNode, Storage, TensorNode
from ckptkit.types import DTYPES, contiguous_strides


def tensor(*shape, dtype="float32", data=None, **changes):
    nbytes = math.prod(shape) * DTYPES[dtype].nbytes
    source = MemoryBytes(data if data is not None else bytes(i % 251 for i in range(nbytes)))
    fields = {"strides": contiguous_strides(shape), "offset": 0} | changes
    return TensorNode(
        dtype=DTYPES[dtype], shape=shape, storage=Storage("s", nbytes, source), **fields
    )


def floats(*values):
    return tensor(len(values), data=struct.pack(f"<{len(values)}f", *values))


def read(node):
    source = logical_source(node)
    out = bytearray(source.nbytes)
    source.read_into(0, memoryview(out))
    return bytes(out)


def values(node):
    return list(struct.unpack(f"<{node.numel}f", read(node)))


# -- families ---------------------------------------------------------------------------------------


def test_a_family_of_fused_projections_is_taken_apart_and_put_together():
    state = {
        f"h.{i}.qkv.{kind}": tensor(6, *shape)
        for i in range(2)
        for kind, shape in (("weight", (2,)), ("bias", ()))
    }
    split = Split(r"h.(\d+).qkv.(weight|bias)", (r"h.\1.q.\2", r"h.\1.k.\2", r"h.\1.v.\2"))
    apart = split.apply(state).state
    assert list(apart)[:3] == ["h.0.q.weight", "h.0.k.weight", "h.0.v.weight"]
    assert apart["h.1.v.bias"].shape == (2,)
    assert split.inverse() == Concat(
        (r"h.(\d+).q.(weight|bias)", r"h.\1.k.\2", r"h.\1.v.\2"), r"h.\1.qkv.\2"
    )
    back = split.inverse().apply(apart).state
    assert {name: read(node) for name, node in back.items()} == {
        name: read(node) for name, node in state.items()
    }


def test_two_names_change_places_in_one_rename():
    state = {"a": tensor(1), "b": tensor(2)}
    swapped = Rename({"a": "b", "b": "a"}).apply(state).state
    assert (swapped["a"], swapped["b"]) == (state["b"], state["a"])


def test_a_dot_outside_of_a_group_is_a_dot():
    assert match("h.0.w", "h.0.w") is not None
    assert match("h.0.w", "hx0.w") is None
    assert match(r"h.(\d+).(w|b)", "h.12.b").groups == ("12", "b")
    assert match(r"(\w+).twin.\1", "a.twin.a") is not None
    assert match(r"(\w+).twin.\1", "a.twin.b") is None


@pytest.mark.parametrize(
    "pattern", ["a(b", "a)b", "((a)b)", r"a\d", "a([0-9", "a(*)", "(a)" * 10, "a\\"]
)
def test_a_pattern_that_is_none_is_refused_with_its_text(pattern):
    with pytest.raises(MigrationError, match="name"):
        parse(pattern)


def test_experts_are_stacked_in_the_order_of_their_numbers():
    state = {f"e.{i}.w": floats(i) for i in (10, 3, 0, 2, 1, 9, 8, 7, 6, 5, 4)}
    made = Stack("e.{}.w", "e.w").apply(state).state
    assert made["e.w"].shape == (11, 1)
    assert values(made["e.w"]) == list(range(11))
    apart = Stack("e.{}.w", "e.w").inverse().apply(made).state
    assert [values(apart[f"e.{i}.w"]) for i in range(11)] == [[float(i)] for i in range(11)]


# -- refusals ---------------------------------------------------------------------------------------

STATE = {
    "a": tensor(4, 6),
    "b": tensor(4, 6),
    "c": tensor(3),
    "d": tensor(4, 6, dtype="float16"),
    "v": 7,
    "e.0": tensor(2),
    "e.2": tensor(2),
}


@pytest.mark.parametrize(
    ("operation", "seen"),
    [
        (Rename({"z": "y"}), r"none of the 7 names is meant \(a, b, c, \.\.\.\)"),
        (Rename({"a": "b"}), "makes b, which is there already"),
        (Rename({r"(a|b)": "z"}), "makes z twice"),
        (Split("a", ("x", "y"), axis=2), "has 2 axes; expected an axis 2"),
        (Split("c", ("x", "y")), r"an axis of 3 cannot be cut in the proportions \(1, 1\)"),
        (Split("a", ("x", "y"), sizes=(1, 1, 2)), "3 sizes; expected 2"),
        (Concat(("a", "z"), "y"), "a, z needs z, which is not there"),
        (Concat((r"(z)", r"\1"), r"y\1"), "none of the 7 names"),
        (Concat(("a", "d"), "y"), "dtypes float32 and float16"),
        (Concat(("a", "c"), "y"), r"shapes \[4, 6\] and \[3\]; expected the same but for axis 0"),
        (Concat(("a", "a"), "y"), "takes a twice"),
        (Stack("e.{}", "e"), "e.1 is not there, but e.2 is"),
        (Stack("e.(\\d+)", "e"), "has no place {}"),
        (Unstack("a", ("x", "y", "z")), r"axis 0 of \[4, 6\] has 4 tensors; expected 3"),
        (Transpose("c"), r"shape \[3\], axes \[1, 0\]"),
        (Reshape("a", (5, -1)), r"24 elements, \[4, 6\]; expected a shape that fits \[5, -1\]"),
        (Reshape("a", (6, 4), was=(3, 8)), r"shape \[4, 6\]; expected \[3, 8\]"),
        (Slice("a", ((0, 5),)), r"range \(0, 5\) of axis 0 of \[4, 6\]"),
        (Slice("a", ((3, 2),)), "a range inside of the axis"),
        (Slice("c", (None, (0, 1))), r"shape \[3\]; expected 2 axes"),
        (Pad("a", ((0, -1),)), "none below 0"),
        (Cast("a", "float12"), "dtype 'float12'"),
        (Cast("a", "float16", was="float64"), "dtype float32; expected float64"),
        (Transpose("v"), "is no tensor but int"),
        (Fill("new", (2,), "int8", 300), "the value 300 for int8"),
        (Fill("new", (2,), "int8", Normal(seed=1)), "dtype int8"),
        (Fill("a", (2,)), "makes a, which is there already"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_operation_name_and_shape(operation, seen):
    with pytest.raises(MigrationError, match=seen) as caught:
        operation.apply(STATE)
    assert str(caught.value).startswith(type(operation).__name__)


def test_a_companion_without_its_first_is_no_small_thing():
    state = {"h.0.q": tensor(1), "h.0.k": tensor(1), "h.1.k": tensor(1)}
    with pytest.raises(MigrationError, match=r"h\.1\.k is there without h\.1\.q"):
        Concat((r"h.(\d+).q", r"h.\1.k"), r"h.\1.qk").apply(state)


def test_a_rename_that_would_take_more_on_the_way_back_is_refused_before():
    state = {"module.a": tensor(1), "b": tensor(1)}
    strip = {r"module.(.*)": r"\1"}
    with pytest.raises(MigrationError, match=r"cannot be taken back.*would also take.* b"):
        Rename(strip).apply(state)
    assert set(Rename(strip, one_way=True).apply(state).state) == {"a", "b"}
    assert set(Rename(strip).apply({"module.a": tensor(1)}).state) == {"a"}


def test_parts_of_different_lengths_need_their_sizes_to_come_back():
    state = {"q": tensor(8, 2), "k": tensor(2, 2), "v": tensor(2, 2)}
    with pytest.raises(MigrationError, match=r"parts of \(8, 2, 2\).*say sizes=\(8, 2, 2\)"):
        Concat(("q", "k", "v"), "qkv").apply(state)
    made = Concat(("q", "k", "v"), "qkv", sizes=(4, 1, 1))
    back = made.inverse().apply(made.apply(state).state).state
    assert {name: node.shape for name, node in back.items()} == {
        "q": (8, 2),
        "k": (2, 2),
        "v": (2, 2),
    }


@pytest.mark.parametrize("operation", [Drop("a"), Slice("a", ((0, 1),)), Cast("a", "float16", was="float32"), Cast("a", "float64"), Reshape("a", (24,)), Custom(dict)])  # fmt: skip
def test_what_loses_something_has_no_way_back_and_says_so(operation):
    with pytest.raises(MigrationError, match="cannot be taken back"):
        inverse_of([operation])


@pytest.mark.parametrize("changes", [{"extra": MapNode()}, {"numpy_dtype": "<U2"}])
def test_a_tensor_that_is_more_than_its_numbers_can_only_be_renamed_and_dropped(changes):
    state = {"a": tensor(2, 2, **changes)}
    with pytest.raises(MigrationError, match="a plain tensor"):
        Transpose("a").apply(state)
    assert Rename({"a": "b"}).apply(state).state["b"] is state["a"]


def test_a_state_is_never_changed():
    state = {"a": tensor(4), "b": tensor(4)}
    run([Rename({"a": "c"}), Concat(("b", "c"), "d"), Pad("d", ((1, 1),)), Drop("d")], state)
    assert list(state) == ["a", "b"]


# -- ties -------------------------------------------------------------------------------------------


def test_tied_tensors_are_tied_again_after_every_operation():
    storage = tensor(4, 2)
    state = {"wte": storage, "head": tensor(4, 2)}
    state["head"] = TensorNode(
        dtype=storage.dtype,
        shape=(4, 2),
        strides=(2, 1),
        offset=0,
        storage=storage.storage,
        requires_grad=True,
    )
    made = run(
        [
            Pad("wte", ((0, 3),)),
            Pad("head", ((0, 3),)),
            Cast("(wte|head)", "float16"),
            Transpose("(wte|head)"),
        ],
        state,
    ).state
    assert made["wte"].same_view() == made["head"].same_view()
    assert (made["wte"].requires_grad, made["head"].requires_grad) == (False, True)


def test_equal_operations_on_different_tensors_are_no_tie():
    made = run([Pad("(a|b)", ((0, 1),))], {"a": tensor(2), "b": tensor(2)}).state
    assert made["a"].same_view() != made["b"].same_view()


# -- values -----------------------------------------------------------------------------------------


def test_normal_numbers_depend_on_their_seed_alone_and_are_normal():
    fill = Fill("n", (20_000,), "float32", Normal(seed=3, mean=1.0, std=0.5))
    one = values(fill.apply({}).state["n"])
    assert one == values(fill.apply({"x": 1}).state["n"])
    assert one != values(
        Fill("n", (20_000,), "float32", Normal(seed=4, mean=1.0, std=0.5)).apply({}).state["n"]
    )
    mean = sum(one) / len(one)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in one) / len(one))
    assert abs(mean - 1.0) < 0.02
    assert abs(deviation - 0.5) < 0.02
    assert one[:3] == pytest.approx(PINNED)  # the same on every machine, for ever


PINNED = [-0.00374603271484375, 0.9670791625976562, 1.3262405395507812]


def test_a_part_of_the_normal_numbers_can_be_read_alone():
    node = Fill("n", (9_000,), "float16", Normal(seed=0)).apply({}).state["n"]
    whole, part = read(node), bytearray(30)
    logical_source(node).read_into(8_000, memoryview(part))
    assert bytes(part) == whole[8_000:8_030]


def test_a_huge_fill_takes_no_memory():
    source = ConstantBytes(pack(1.0, DTYPES["float32"], "x"), 4 << 40)
    out = bytearray(10)
    source.read_into((4 << 40) - 10, memoryview(out))
    assert bytes(out) == (b"\x00\x00\x80\x3f" * 3)[2:]


def test_a_pipeline_over_a_large_tensor_is_read_in_bounded_memory():
    class Endless:
        nbytes = 256 << 20

        def read_into(self, offset, out):
            out[:] = bytes(out.nbytes)

    big = TensorNode(
        dtype=DTYPES["float32"],
        shape=(8192, 8192),
        strides=(8192, 1),
        offset=0,
        storage=Storage("s", 256 << 20, Endless()),
    )
    state = {"a": big, "b": big}
    operations = [
        Transpose("a"),
        Concat(("a", "b"), "c", axis=1),
        Pad("c", ((0, 1), (1, 0))),
        Reshape("c", (-1,)),
    ]
    source = logical_source(run(operations, state).state["c"])
    out = memoryview(bytearray(1 << 20))
    tracemalloc.start()
    try:
        for offset in (0, 300 << 20, source.nbytes - (1 << 20)):
            source.read_into(offset, out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


# -- rounding without torch ---------------------------------------------------------------------------


def test_a_cast_between_integers_and_floats_needs_torch_and_says_so():
    with pytest.raises(MissingExtraError, match="int32 to float32 needs torch"):
        convert(bytes(4), DTYPES["int32"], DTYPES["float32"], "w")


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("wanted", ["float16", "bfloat16", "float32", "float64"])
def test_floats_round_as_torch_rounds_them(stored, wanted):
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(-(2**63), 2**63 - 1, (4096,), generator=generator, dtype=torch.int64)
    odd = torch.tensor(
        [
            0.0,
            -0.0,
            65504,
            65519.99,
            65520,
            65536,
            1e-8,
            6e-8,
            3.4e38,
            3.5e38,
            1e300,
            math.inf,
            -math.inf,
            math.nan,
            1.00048828125,
            0.333,
        ],
        dtype=torch.float64,
    )
    source = torch.cat(
        [bits.view(torch.float64), torch.randn(4096, generator=generator).double() * 10, odd]
    ).to(getattr(torch, stored))
    if stored in ("float16", "bfloat16"):
        source = torch.cat(
            [source, torch.arange(-(2**15), 2**15).to(torch.int16).view(source.dtype)]
        )
    made = convert(
        source.contiguous().view(torch.uint8).numpy().tobytes(), DTYPES[stored], DTYPES[wanted], "w"
    )
    got = torch.frombuffer(bytearray(made), dtype=getattr(torch, wanted))
    expected = source.to(getattr(torch, wanted))
    nan = expected.isnan()
    assert torch.equal(nan, got.isnan())
    assert torch.equal(
        got.masked_fill(nan, 0).view(torch.uint8), expected.masked_fill(nan, 0).view(torch.uint8)
    )


@pytest.mark.parametrize("stored", ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16"])
@pytest.mark.parametrize("wanted", ["bool", "uint8", "int8", "int16", "int32", "int64"])
def test_integers_wrap_as_torch_wraps_them(stored, wanted):
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(-(2**63), 2**63 - 1, (512,), generator=generator, dtype=torch.int64).to(
        getattr(torch, stored)
    )
    made = convert(source.view(torch.uint8).numpy().tobytes(), DTYPES[stored], DTYPES[wanted], "w")
    assert torch.equal(
        torch.frombuffer(bytearray(made), dtype=getattr(torch, wanted)),
        source.to(getattr(torch, wanted)),
    )


# -- functions --------------------------------------------------------------------------------------


def test_a_function_tells_what_it_kept_renamed_made_and_took():
    state = {"a": tensor(1), "b": tensor(2), "c": tensor(3), "lr": 0.1, "n": 1}

    def change(old):
        return {"a": old["a"], "bb": old["b"], "lr": 0.2, "n": 1, "new": 5}

    applied = Custom(change).apply(state)
    assert set(applied.actions) == {
        (("b",), ("bb",)),
        (("c",), ()),
        (("lr",), ("lr",)),
        ((), ("new",)),
    }


@pytest.mark.parametrize("long_row", [1, 1 << 20])
@pytest.mark.parametrize("lengths", [(3, 5), (4, 8, 2), (1, 7), (6, 6), (0, 4, 3)])
def test_rows_of_any_lengths_are_laid_side_by_side(monkeypatch, long_row, lengths):
    monkeypatch.setattr(joined, "_LONG_ROW_NBYTES", long_row)
    parts = [bytes(range(10 * n, 10 * n + 4 * length)) for n, length in enumerate(lengths)]
    whole = joined.joined([MemoryBytes(part) for part in parts], 4)
    expected = b"".join(part[r * n : (r + 1) * n] for r in range(4) for part, n in zip(parts, lengths, strict=True))  # fmt: skip
    assert whole.nbytes == len(expected)
    for start in range(len(expected)):
        out = bytearray(min(7, len(expected) - start))
        whole.read_into(start, memoryview(out))
        assert bytes(out) == expected[start : start + 7]
