"""Collapsed names stand for exactly the names that they replaced."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from ckptkit.report.collapse import collapse

_SET = re.compile(r"\{([0-9.,]+)\}")


def expand(pattern: str) -> list[str]:
    parts = _SET.split(pattern)
    choices = []
    for text in parts[1::2]:
        numbers = []
        for run in text.split(","):
            low, high, step = (*run.split(".."), "", "")[:3]
            numbers += [str(n) for n in range(int(low), int(high or low) + 1, int(step or 1))]
        choices.append(numbers)
    return [
        "".join(itertools.chain(*zip(parts[::2], (*combo, ""), strict=True)))
        for combo in itertools.product(*choices)
    ]


components = st.sampled_from(
    ["0", "1", "2", "3", "7", "10", "07", "w", "b", "conv1", "conv2", "x1y2", "x1y3", "layers"]
)
names = st.lists(components, min_size=1, max_size=4).map(".".join)


@given(st.lists(names, unique=True, max_size=40))
def test_a_group_expands_to_exactly_its_members(given_names: list[str]) -> None:
    groups = collapse(given_names)
    covered: list[int] = []
    for group in groups:
        assert sorted(expand(group.pattern)) == sorted(given_names[i] for i in group.members)
        covered += group.members
    assert sorted(covered) == list(range(len(given_names)))


@given(st.lists(names, max_size=30))
def test_equal_names_are_all_counted(given_names: list[str]) -> None:
    assert sum(group.size for group in collapse(given_names)) == len(given_names)


def test_a_regular_model_becomes_one_line_a_parameter() -> None:
    stems = ["attn.q_proj.weight", "attn.q_proj.bias", "mlp.weight"]
    given_names = [f"layers.{i}.{stem}" for i in range(32) for stem in stems] + ["norm.weight"]
    assert [(g.pattern, g.size) for g in collapse(given_names)] == [
        ("layers.{0..31}.attn.q_proj.weight", 32),
        ("layers.{0..31}.attn.q_proj.bias", 32),
        ("layers.{0..31}.mlp.weight", 32),
        ("norm.weight", 1),
    ]


def test_two_indices_collapse_together_and_gaps_are_spelled() -> None:
    given_names = [f"a.{i}.b.{j}.w" for i in (0, 1, 2, 3, 5) for j in (0, 2)]
    assert [g.pattern for g in collapse(given_names)] == ["a.{0..3,5}.b.{0,2}.w"]


def test_steps_are_spelled():
    assert [g.pattern for g in collapse([f"s/{i}/m" for i in (0, 12, 24, 36)])] == [
        "s/{0..36..12}/m"
    ]


def test_an_irregular_corner_is_not_hidden_in_a_product() -> None:
    patterns = [g.pattern for g in collapse(["a.0.0", "a.0.1", "a.1.0"])]
    assert patterns == ["a.0.{0,1}", "a.1.0"]


def test_digits_inside_a_name_are_indices_too() -> None:
    groups = collapse([f"w{i}" for i in range(50)] + ["w_07", "block_1x", "block_2x"])
    assert [g.pattern for g in groups] == ["w{0..49}", "w_07", "block_{1,2}x"]


def test_a_name_of_numbers_without_end_is_collapsed_all_the_same() -> None:
    groups = collapse([f"{'1.' * 2000}{i}" for i in range(3)])
    assert sum(g.size for g in groups) == 3


def test_kinds_keep_names_apart() -> None:
    groups = collapse(["l.0.w", "l.1.w", "l.2.w"], kinds=["f32", "f32", "f16"])
    assert [g.pattern for g in groups] == ["l.{0,1}.w", "l.2.w"]


def test_a_leading_zero_is_a_name_not_an_index() -> None:
    assert [g.pattern for g in collapse(["a.07", "a.7"])] == ["a.07", "a.7"]
