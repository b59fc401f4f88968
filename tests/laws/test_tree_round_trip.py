"""Law: any tree of nodes survives its flat form, and any live state survives being nodes."""

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ckptkit.errors import LimitExceededError, ManifestError
from ckptkit.nodes import MapNode, SeqNode, Storage, TensorNode
from ckptkit.testing import strategies as our
from ckptkit.tree import (
    equal,
    first_difference,
    flatten,
    flatten_sections,
    path_text,
    resolve,
    to_node,
    to_python,
    unflatten,
    walk,
)
from ckptkit.types import DTYPES, Limits

THOROUGH = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
DEEP = Limits(max_depth=60_000)


def through_bytes(tokens):
    """Tokens as a reader gets them: out of msgpack."""
    return msgpack.unpackb(msgpack.packb(tokens), strict_map_key=True)


@THOROUGH
@given(our.nodes())
def test_a_tree_survives_its_tokens_with_every_alias_and_bit(node):
    flat = flatten(node)
    again = unflatten(through_bytes(flat.tokens), flat.leaves)
    assert first_difference(node, again, same_aliases=True) is None


@THOROUGH
@given(our.nodes())
def test_flattening_is_deterministic_and_stable(node):
    flat = flatten(node)
    again = flatten(unflatten(flat.tokens, flat.leaves))
    assert msgpack.packb(again.tokens) == msgpack.packb(flat.tokens)
    assert [*map(path_text, again.paths)] == [*map(path_text, flat.paths)]


@THOROUGH
@given(our.nodes())
def test_every_leaf_lies_where_its_path_says(node):
    flat = flatten(node)
    for leaf, path in zip(flat.leaves, flat.paths, strict=True):
        if ".keys" not in path:
            assert resolve(node, path) is leaf
    met = {id(leaf) for _, leaf in walk(node)}
    assert {id(leaf) for leaf in flat.leaves} <= met


@THOROUGH
@given(our.nodes())
def test_equal_views_share_a_leaf_and_different_ones_do_not(node):
    flat = flatten(node)
    views = [leaf.same_view() for leaf in flat.leaves if type(leaf) is TensorNode]
    assert len(set(views)) == len(views)
    assert set(views) == {n.same_view() for _, n in walk(node) if type(n) is TensorNode}


@THOROUGH
@given(our.nodes(), our.nodes())
def test_sections_stand_alone_and_share_one_table(first, second):
    document = MapNode({"model": first, "extra": SeqNode([second, first])})
    flat = flatten_sections(document)
    for name, tokens in flat.tokens.items():
        again = unflatten(through_bytes(tokens), flat.leaves)
        assert first_difference(document[name], again, same_aliases=True) is None
    assert all(path[0] in ("model", "extra") for path in flat.paths)


@THOROUGH
@given(our.nodes())
def test_every_path_prints_as_one_safe_line(node):
    for path, _ in walk(node):
        text = path_text(path)
        assert text.isprintable()
        assert text.encode()


@THOROUGH
@given(our.nodes(knots=False), our.nodes(knots=False))
def test_different_tokens_mean_different_trees(first, second):
    one, two = flatten(first), flatten(second)
    same_tokens = msgpack.packb(one.tokens) == msgpack.packb(two.tokens)
    if not one.leaves and not two.leaves:
        assert equal(first, second, same_aliases=True) == same_tokens


@THOROUGH
@given(our.states())
def test_a_live_state_comes_back_with_its_exact_types(state):
    node = to_node(state)
    again = to_python(node)
    assert type(again) is type(state)
    assert first_difference(node, to_node(again), same_aliases=True) is None
    flat = flatten(node)
    third = to_python(unflatten(through_bytes(flat.tokens), flat.leaves))
    assert first_difference(node, to_node(third), same_aliases=True) is None


@THOROUGH
@given(our.states().filter(lambda state: state == state))
def test_a_live_state_comes_back_equal_as_python_compares(state):
    # Values with a NaN inside compare by identity in containers: their nodes were compared above.
    again = to_python(to_node(state))
    assert again == state or any(value != value for value in leaves_of(state))


def leaves_of(state):
    stack, met = [state], set()
    while stack:
        value = stack.pop()
        if isinstance(value, (dict, list, tuple, set, frozenset)) or hasattr(value, "maxlen"):
            if id(value) not in met:
                met.add(id(value))
                stack.extend(value)
                stack.extend(value.values() if isinstance(value, dict) else ())
        else:
            yield value


JUNK = st.recursive(
    st.one_of(our.scalars().filter(lambda x: type(x) is not complex), st.integers(-2, 12)),
    lambda inner: st.lists(inner, max_size=8),
    max_leaves=12,
)


@THOROUGH
@given(st.lists(st.one_of(JUNK, st.lists(JUNK, min_size=1, max_size=8)), max_size=8))
def test_nonsense_is_refused_with_its_place(tokens):
    leaf = flatten(MapNode()).leaves
    try:
        tree = unflatten(tokens, leaf)
    except ManifestError as error:
        place = error.where
    else:
        flat = flatten(tree)
        again = unflatten(flat.tokens, flat.leaves)
        place = "token" if first_difference(tree, again) is None else "lost"
    assert "token" in place


@THOROUGH
@given(our.nodes(), st.data())
def test_damaged_tokens_are_refused_or_still_a_tree(node, data):
    flat = flatten(node)
    tokens = list(flat.tokens)
    index = data.draw(st.integers(0, len(tokens) - 1))
    action = data.draw(st.sampled_from(["drop", "twice", "other"]))
    tokens[index : index + 1] = {
        "drop": [],
        "twice": [tokens[index]] * 2,
        "other": [data.draw(JUNK)],
    }[action]
    try:
        tree = unflatten(tokens, flat.leaves)
    except ManifestError:
        return
    assert sum(1 for _ in walk(tree)) >= 1


def chain(depth):
    root = node = SeqNode([])
    for level in range(depth):
        inner = SeqNode([]) if level % 2 else MapNode({})
        if type(node) is SeqNode:
            node.items.append(inner)
        else:
            node["next"] = inner
        node = inner
    return root


def test_fifty_thousand_levels_cost_no_stack():
    root = chain(50_000)
    flat = flatten(root, DEEP)
    again = unflatten(through_bytes(flat.tokens), flat.leaves, DEEP)
    assert equal(root, again, same_aliases=True)
    assert equal(to_node(to_python(root)), root)


def test_depth_is_limited_on_both_ways_and_walk_bounds_its_work():
    assert sum(1 for _ in walk(chain(15_000))) == 15_001
    with pytest.raises(LimitExceededError, match="max_depth"):
        flatten(chain(20_001))
    with pytest.raises(ManifestError, match="levels"):
        unflatten(flatten(chain(20_001), DEEP).tokens, [])
    with pytest.raises(LimitExceededError):
        list(walk(fan(10_000, 26_000)))


def fan(depth, width):
    """Very many leaves below very many levels: few bytes whose paths are endless."""
    root = leaf = SeqNode([])
    for _ in range(depth):
        leaf.items.append(SeqNode([]))
        leaf = leaf.items[0]
    leaf.items.extend([None] * width)
    return root


def test_many_tensors_below_many_levels_are_refused():
    root = fan(1_000, 0)
    node = root
    while node.items:
        node = node.items[0]
    storage = Storage("0", 8, None)
    node.items = [
        TensorNode(
            dtype=DTYPES["uint8"],
            shape=(1,),
            strides=(n + 1,),
            offset=0,
            storage=storage,
            flavour="meta",
        )
        for n in range(1_100)
    ]
    with pytest.raises(LimitExceededError, match="absurd"):
        flatten(root)
