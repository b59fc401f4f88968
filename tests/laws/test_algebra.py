"""Streamed and in-memory evaluation of the algebra agree, and what goes there comes back."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from ckptkit import algebra  # noqa: E402
from ckptkit.algebra import (  # noqa: E402
    Cast,
    Concat,
    Drop,
    Eye,
    Fill,
    Pad,
    Rename,
    Reshape,
    Slice,
    Split,
    Stack,
    Transpose,
    Unstack,
    blocks,
    inverse_of,
    joined,
    run,
)
from ckptkit.algebra.patterns import fill, invert, literal, match  # noqa: E402
from ckptkit.containers.bytesource import MemoryBytes  # noqa: E402
from ckptkit.containers.logical import logical_source  # noqa: E402
from ckptkit.nodes import Storage, TensorNode  # noqa: E402
from ckptkit.types import DTYPES  # noqa: E402

LAW = settings(max_examples=100, deadline=None)
FLOATS = ("float16", "bfloat16", "float32", "float64")
ALL = (*FLOATS, "int8", "uint8", "int32", "int64", "bool", "complex64", "complex128")


# -- states: the same tensors as torch has them and as nodes ----------------------------------------


def node_of(tensor):
    storage = tensor.untyped_storage()
    data = bytes(storage.tolist())
    return TensorNode(
        dtype=DTYPES[str(tensor.dtype).removeprefix("torch.")], shape=tuple(tensor.shape), strides=tensor.stride(),
        offset=tensor.storage_offset(), storage=Storage("s", len(data), MemoryBytes(data)),
    )  # fmt: skip


@st.composite
def tensors(draw, dtypes=ALL):
    dtype = getattr(torch, draw(st.sampled_from(dtypes)))
    shape = tuple(draw(st.lists(st.integers(1, 4), max_size=3)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    doubled = tuple(2 * size for size in shape)
    if dtype.is_floating_point or dtype.is_complex:
        base = torch.randn(doubled, generator=generator, dtype=torch.float64) * draw(
            st.sampled_from([1.0, 1e-6, 1e5, 1e39])
        )
    else:
        base = torch.randint(0, 100, doubled, generator=generator)
    base = base.to(dtype)
    if dtype.is_floating_point and base.numel() and draw(st.booleans()):
        base.view(-1)[0] = draw(st.sampled_from([math.nan, math.inf, -0.0, 65519.0, 1e-8]))
    for axis, size in enumerate(shape):  # every other element, or the first ones: real strides
        base = (
            base.narrow(axis, draw(st.integers(0, size)), size)
            if draw(st.booleans())
            else base[(slice(None),) * axis + (slice(None, None, 2),)]
        )
    if draw(st.booleans()) and base.dim() >= 2:
        base = base.transpose(0, -1)
    return base


@st.composite
def states(draw):
    state = {}
    for layer in range(draw(st.integers(1, 3))):
        for name in draw(
            st.lists(
                st.sampled_from(["attn.q", "attn.k", "mlp.w", "b(1)", "x{}"]),
                min_size=1,
                unique=True,
            )
        ):
            state[f"h.{layer}.{name}"] = draw(tensors())
    return state


# -- one operation, drawn so that it fits, and what torch makes of it ---------------------------------


@st.composite
def drawn(draw, state, fresh):
    """(operation, expected state); exact names, so that the reference needs no patterns."""
    name = draw(st.sampled_from(sorted(state)))
    tensor, rest = state[name], {k: v for k, v in state.items() if k != name}
    kind = draw(
        st.sampled_from(
            [
                "rename",
                "drop",
                "split",
                "concat",
                "stack",
                "unstack",
                "transpose",
                "reshape",
                "slice",
                "pad",
                "cast",
                "fill",
            ]
        )
    )
    known = literal(name)
    new = f"n{fresh}"
    axis = draw(st.integers(0, max(tensor.dim() - 1, 0)))
    if kind == "rename":
        return Rename({known: new}), rest | {new: tensor}
    if kind == "drop":
        assume(rest)
        return Drop(known), rest
    if kind == "fill":
        shape = tuple(draw(st.lists(st.integers(0, 4), min_size=2, max_size=2)))
        dtype = draw(st.sampled_from(ALL))
        value = draw(st.sampled_from([0, 1, Eye()]))
        made = (
            torch.eye(*shape, dtype=getattr(torch, dtype))
            if isinstance(value, Eye)
            else torch.full(shape, value, dtype=getattr(torch, dtype))
        )
        return Fill(new, shape, dtype, value), state | {new: made}
    if kind == "split":
        assume(tensor.dim())
        first = draw(st.integers(0, tensor.shape[axis]))
        sizes = (first, tensor.shape[axis] - first)
        assume(sum(sizes))
        one, two = tensor.split(sizes, axis)
        return Split(known, (new + "a", new + "b"), axis, sizes), rest | {
            new + "a": one,
            new + "b": two,
        }
    if kind in ("concat", "stack"):
        alike = [k for k, v in rest.items() if v.shape == tensor.shape and v.dtype == tensor.dtype]
        assume(alike)
        other = draw(st.sampled_from(sorted(alike)))
        left = {k: v for k, v in rest.items() if k != other}
        if kind == "stack":
            made = torch.stack([tensor, state[other]], axis)
            return Stack((known, literal(other)), new, axis), left | {new: made}
        assume(tensor.dim())
        made = torch.cat([tensor, state[other]], axis)
        return Concat((known, literal(other)), new, axis), left | {new: made}
    if kind == "unstack":
        assume(tensor.dim() and tensor.shape[axis])
        parts = {f"{new}.{i}": part for i, part in enumerate(tensor.unbind(axis))}
        return Unstack(known, new + ".{}", axis), rest | parts
    if kind == "transpose":
        axes = tuple(draw(st.permutations(range(tensor.dim()))))
        return Transpose(known, axes), state | {name: tensor.permute(axes)}
    if kind == "reshape":
        shape = draw(
            st.sampled_from(
                [(tensor.numel(),), (-1, 1), (1, *tensor.shape), tuple(reversed(tensor.shape))]
            )
        )
        assume(tensor.numel())
        return Reshape(known, shape, tuple(tensor.shape)), state | {name: tensor.reshape(shape)}
    if kind == "slice":
        assume(tensor.dim() and tensor.shape[axis])
        start = draw(st.integers(0, tensor.shape[axis] - 1))
        step = draw(st.integers(1, 2))
        index = (slice(None),) * axis + (slice(start, None, step),)
        return Slice(known, (None,) * axis + ((start, None, step),)), state | {name: tensor[index]}
    if kind == "pad":
        assume(tensor.dim())
        before, after = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        value = draw(st.sampled_from([0, 1]))
        shape = list(tensor.shape)
        parts = [
            torch.full([*shape[:axis], n, *shape[axis + 1 :]], value, dtype=tensor.dtype)
            for n in (before, after)
        ]
        made = torch.cat([parts[0], tensor, parts[1]], axis)
        return Pad(known, (None,) * axis + ((before, after),), value), state | {name: made}
    assume(not tensor.dtype.is_complex)
    to = draw(
        st.sampled_from(
            FLOATS if tensor.dtype.is_floating_point else (*FLOATS, "int8", "int64", "bool")
        )
    )
    was = str(tensor.dtype).removeprefix("torch.")
    return Cast(known, to, was), state | {name: tensor.to(getattr(torch, to))}


@st.composite
def pipelines(draw):
    state = draw(states())
    operations, expected = [], state
    for step in range(draw(st.integers(1, 5))):
        operation, expected = draw(drawn(expected, step))
        operations.append(operation)
    return state, operations, expected


def tensor_of(node, data):
    """What a draw of reads, forwards, backwards and across blocks, gives of a node."""
    source = logical_source(node)
    assert source.nbytes == node.nbytes
    out = bytearray(node.nbytes)
    cuts = sorted(data.draw(st.lists(st.integers(0, node.nbytes), max_size=3)))
    spans = list(zip([0, *cuts], [*cuts, node.nbytes], strict=True))
    for start, stop in data.draw(st.permutations(spans)):
        source.read_into(start, memoryview(out)[start:stop])
    dtype = getattr(torch, node.dtype.name)
    return (
        torch.frombuffer(out, dtype=dtype).reshape(node.shape)
        if out
        else torch.empty(node.shape, dtype=dtype)
    )


def same(one, other):
    """Bit-equal, but for the payload of a NaN, which torch itself does not keep in a cast."""
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    if one.dtype.is_floating_point:
        nan = one.isnan()
        assert torch.equal(nan, other.isnan())
        one, other = one.masked_fill(nan, 0.0), other.masked_fill(nan, 0.0)
    one, other = (
        torch.empty(t.numel(), dtype=t.dtype).copy_(t.reshape(-1)).view(torch.uint8)
        for t in (one, other)
    )
    return torch.equal(one, other)


@LAW
@given(pipelines(), st.sampled_from([16, 48, 1 << 20]), st.data())
def test_streamed_and_in_memory_evaluation_agree(pipeline, block_nbytes, data):
    state, operations, expected = pipeline
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_NBYTES", block_nbytes)
        patch.setattr(joined, "_LONG_ROW_NBYTES", block_nbytes)  # rows of both kinds
        made = run(operations, {name: node_of(tensor) for name, tensor in state.items()}).state
        assert set(made) == set(expected)
        for name, node in made.items():
            assert same(tensor_of(node, data), expected[name]), name


@LAW
@given(pipelines(), st.data())
def test_operations_followed_by_their_inverse_are_the_identity(pipeline, data):
    state, operations, _ = pipeline
    from ckptkit.errors import MigrationError

    ways_back = []
    for operation in operations:
        try:
            operation.inverse()
        except MigrationError:
            break
        ways_back.append(operation)
    nodes = {name: node_of(tensor) for name, tensor in state.items()}
    there = run(ways_back, nodes).state
    back = run(inverse_of(ways_back), there).state
    assert set(back) == set(state)
    for name, node in back.items():
        assert same(tensor_of(node, data), state[name]), name


@LAW
@given(pipelines())
def test_what_is_printed_of_an_operation_makes_it_again(pipeline):
    for operation in pipeline[1]:
        assert eval(repr(operation), vars(algebra)) == operation


@LAW
@given(pipelines())
def test_every_name_is_accounted_for(pipeline):
    state, operations, _ = pipeline
    ran = run(operations, {name: node_of(tensor) for name, tensor in state.items()})
    now = set(state)
    for _operation, actions in ran.steps:
        taken = {name for action in actions for name in action.sources}
        made = {name for action in actions for name in action.targets}
        assert taken <= now
        assert not made & (now - taken)
        now = (now - taken) | made
    assert now == set(ran.state)


TEXTS = st.text("ab.1(){}\\", max_size=6)


@given(TEXTS)
def test_a_literal_matches_its_name_and_no_other(name):
    found = match(literal(name), name)
    assert found is not None
    assert found.groups == ()
    assert match(literal(name), name + "x") is None
    assert fill(literal(name), ()) == name


@given(
    st.lists(st.sampled_from(["a", ".", "1"]), max_size=3),
    st.lists(st.sampled_from(["a", "1", "22"]), min_size=2, max_size=2),
    st.data(),
)
def test_an_inverted_pattern_leads_back(words, groups, data):
    pattern = "x." + "".join(words) + r"-(\w+)-(\w+)"
    order = data.draw(st.permutations([r"\1", r"\2"]))
    template = "y." + order[0] + "+" + order[1]
    name = "x." + "".join(words) + f"-{groups[0]}-{groups[1]}"
    new = fill(template, match(pattern, name).groups)
    back, (old,) = invert(pattern, (template,))
    assert fill(old, match(back, new).groups) == name
