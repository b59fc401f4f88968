"""A written migrator says what is sure, asks what is not, runs, and is clean code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import ckptkit  # noqa: E402
from ckptkit.verbs.autogenerate import autogenerate  # noqa: E402
from ckptkit.verbs.factory import Factory  # noqa: E402
from ckptkit.verbs.guessing.families import any_of, generalised  # noqa: E402
from ckptkit.verbs.migrators import migrators_in  # noqa: E402

ROOT = Path(__file__).parents[2]

MODELS = '''
import torch
from torch import nn


class Bag(nn.Module):
    """A state_dict given by names and shapes."""

    def __init__(self, shapes):
        super().__init__()
        for name, shape in shapes.items():
            *path, leaf = name.split(".")
            at = self
            for step in path:
                if step not in at._modules:
                    at.add_module(step, nn.Module())
                at = at._modules[step]
            at.register_parameter(leaf, nn.Parameter(torch.zeros(shape)))

'''


def layers(count, shapes, container="h"):
    return {
        f"{container}.{i}.{name}": shape for i in range(count) for name, shape in shapes.items()
    }


BODY = {"ln.weight": (8,), "ln.bias": (8,), "mlp.up.weight": (32, 8), "mlp.down.weight": (8, 32)}
HEAD = {"wte.weight": (50, 8)}


@pytest.fixture
def between(tmp_path):
    """Save a state of some shapes, write a factory of others, autogenerate."""

    def compare(old, new, **options):
        torch.manual_seed(0)
        path = tmp_path / "old.pt"
        torch.save({name: torch.randn(shape) for name, shape in old.items()}, path)
        (tmp_path / "nets_of_today.py").write_text(
            f"{MODELS}\n\ndef make():\n    return Bag({new!r})\n"
        )
        return autogenerate(
            path, Factory(spec="nets_of_today.py:make", root=str(tmp_path)), **options
        )

    yield compare
    for name in [name for name in sys.modules if "nets_of_today" in name]:
        del sys.modules[name]


def operations(made):
    return [str(one.operation) for one in made.sure]


def answers(made):
    return [str(one.answer) for one in made.questions]


CASES = {
    "a renamed block": (
        HEAD | layers(3, BODY, "blocks"),
        HEAD | layers(3, BODY, "layers"),
        [r'Rename({"blocks.(.*)": r"layers.\1"})'],
        [],
    ),
    "nothing": (HEAD | layers(2, BODY), HEAD | layers(2, BODY), [], []),
    "split qkv": (
        HEAD | layers(3, BODY | {"attn.qkv.weight": (24, 8), "attn.qkv.bias": (24,)}),
        HEAD | layers(3, BODY | {f"attn.{n}.{kind}": shape for n in "qkv" for kind, shape in (("weight", (8, 8)), ("bias", (8,)))}),
        [r'Split(r"h.(\d+).attn.qkv.(weight|bias)", (r"h.\1.attn.q.\2", r"h.\1.attn.k.\2", r"h.\1.attn.v.\2"))'],
        [],
    ),
    "joined q, k and v of different lengths": (
        HEAD | layers(2, BODY | {"attn.q_proj.weight": (8, 8), "attn.k_proj.weight": (2, 8), "attn.v_proj.weight": (2, 8)}),
        HEAD | layers(2, BODY | {"attn.qkv_proj.weight": (12, 8)}),
        [r'Concat((r"h.(\d+).attn.q_proj.weight", r"h.\1.attn.k_proj.weight", r"h.\1.attn.v_proj.weight"), r"h.\1.attn.qkv_proj.weight", sizes=(8, 2, 2))'],
        [],
    ),
    "interleaved by head": (
        HEAD | layers(2, BODY | {"attn.query_key_value.weight": (24, 8)}),
        HEAD | layers(2, BODY | {f"attn.{n}.weight": (8, 8) for n in ("query", "key", "value")}),
        [],
        [r'Split(r"h.(\d+).attn.query_key_value.weight", (r"h.\1.attn.query.weight", r"h.\1.attn.key.weight", r"h.\1.attn.value.weight"))'],
    ),
    "a bigger vocabulary": (
        {"wte.weight": (50, 8), "head.weight": (50, 8)} | layers(2, BODY),
        {"wte.weight": (64, 8), "head.weight": (64, 8)} | layers(2, BODY),
        [],
        ['Pad("(wte|head).weight", ((0, 14),))'],
    ),
    "a smaller vocabulary": (
        {"wte.weight": (50, 8)} | layers(2, BODY),
        {"wte.weight": (40, 8)} | layers(2, BODY),
        [],
        ['Slice("wte.weight", ((0, 40),))'],
    ),
    "Conv1D to Linear": (
        HEAD | layers(2, {"mlp.up.weight": (8, 32), "mlp.same.weight": (8, 8)}),
        HEAD | layers(2, {"mlp.up.weight": (32, 8), "mlp.same.weight": (8, 8)}),
        [r'Transpose(r"h.(\d+).mlp.up.weight")'],
        [r'Transpose(r"h.(\d+).mlp.same.weight")'],
    ),
    "stacked experts": (
        HEAD | layers(2, BODY | {f"moe.experts.{e}.w1.weight": (16, 8) for e in range(4)}),
        HEAD | layers(2, BODY | {"moe.experts.w1.weight": (4, 16, 8)}),
        [r'Stack(r"h.(\d+).moe.experts.{}.w1.weight", r"h.\1.moe.experts.w1.weight")'],
        [],
    ),
    "a kernel that lost its axis of length one": (
        HEAD | layers(2, {"conv.weight": (8, 8, 1)}),
        HEAD | layers(2, {"conv.weight": (8, 8)}),
        [r'Reshape(r"h.(\d+).conv.weight", (8, 8), (8, 8, 1))'],
        [],
    ),
    "a new head and an old one": (
        HEAD | layers(2, BODY) | {"classifier.weight": (3, 8)},
        HEAD | layers(2, BODY) | {"value_head.weight": (1, 8)},
        [],
        ['Drop("classifier.weight")', 'Fill("value_head.weight", (1, 8))'],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_difference_is_found_or_asked_about(between, case):
    old, new, sure, asked = CASES[case]
    made = between(old, new)
    assert operations(made) == sure
    assert answers(made) == asked


@pytest.mark.parametrize("case", CASES)
def test_the_written_file_runs_and_its_answers_make_todays_model(between, tmp_path, case):
    old, new, _, _ = CASES[case]
    made = between(old, new, trainer="gpt")
    answered = made.text.replace("# => ", "")  # every question answered as proposed
    if case == "Conv1D to Linear":
        answered = made.text
    file = tmp_path / f"{case.replace(' ', '_').replace(',', '')}_migrators.py"
    needed = sorted({answer.partition("(")[0] for answer in answers(made)} - {"None"})
    extra = f"from ckptkit.plugin import {', '.join(needed)}\n" if needed else ""
    head, mark, body = answered.partition("from ckptkit.plugin")
    file.write_text(head + extra + mark + body)
    [one] = migrators_in(file.name, str(tmp_path))
    assert (one.trainer, one.section, one.start, one.stop) == ("gpt", "model", 1, 2)
    with ckptkit.load(tmp_path / "old.pt") as checkpoint:
        from ckptkit.verbs.section_migration import migrate_sections

        done = migrate_sections(checkpoint.document, "gpt", {}, [one])
        assert {name: node.shape for name, node in done.document["model"].items()} == new


@pytest.mark.parametrize("case", CASES)
def test_the_written_file_is_clean_code(between, tmp_path, case):
    file = tmp_path / "written.py"
    old, new, _, _ = CASES[case]
    file.write_text(between(old, new, trainer="gpt").text)
    rules = "--select", "ALL", "--ignore", "INP001,D203,D213,CPY001"
    for arguments in (("check", "--isolated", *rules), ("format", "--isolated", "--check")):
        done = run_tool("ruff", *arguments, file)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_written_file_is_typed_code(between, tmp_path):
    file = tmp_path / "written.py"
    old, new, _, _ = CASES["split qkv"]
    file.write_text(between(old, new, trainer="gpt").text)
    options = "--strict", "--follow-imports", "silent", "--cache-dir", tmp_path / "cache"
    # it imports ckptkit alone: nobody waits for the types of torch and of what torch imports
    done = run_tool("mypy", *options, "--no-site-packages", file)
    assert done.returncode == 0, done.stdout + done.stderr
    file.write_text(f"{file.read_text()}\nWRONG = Split(1)\n")
    done = run_tool("mypy", *options, "--no-site-packages", file)
    assert "written.py" in done.stdout
    assert 'error: Argument 1 to "Split"' in done.stdout, done.stdout


def run_tool(*arguments):
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_is_known_already_is_applied_first(between, tmp_path):
    first = tmp_path / "first.py"
    old, new = HEAD | layers(2, BODY, "blocks"), HEAD | layers(2, BODY, "layers")
    first.write_text(between(old, new, trainer="gpt").text)
    known = migrators_in("first.py", str(tmp_path))
    wider = {"wte.weight": (64, 8)} | layers(2, BODY, "layers")
    made = between(old, wider, migrators=known)
    assert (made.trainer, made.start, made.stop) == ("gpt", 2, 3)
    assert operations(made) == []
    assert answers(made) == ['Pad("wte.weight", ((0, 14),))']


# -- families -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "there", "expected"),
    [
        ([("a.0.w", "b.0.w"), ("a.1.w", "b.1.w")], [], [(r"a.(\d+).w", r"b.\1.w")]),
        ([("a.0.w", "b.0.w"), ("a.0.v", "b.0.v")], [], [("a.0.(w|v)", r"b.0.\1")]),
        # a name that stays may not be matched
        ([("a.0.w", "b.0.w"), ("a.1.w", "b.1.w")], ["a.2.w"], [("a.(0|1).w", r"b.\1.w")]),
        # numbers that are not those of the source are no family
        ([("a.0.w", "b.1.w"), ("a.1.w", "b.2.w")], [], [("a.0.w", "b.1.w"), ("a.1.w", "b.2.w")]),
        ([("a.0.1.w", "b.1.0.w"), ("a.2.3.w", "b.3.2.w")], [], [(r"a.(\d+).(\d+).w", r"b.\2.\1.w")]),
        ([("x", "y")], [], [("x", "y")]),
        ([("a(1).w", "b.w")], [], [(r"a\(1\).w", "b.w")]),
    ],
)  # fmt: skip
def test_rows_become_patterns_that_match_them_and_nothing_else(rows, there, expected):
    assert generalised(rows, [*there, *(row[0] for row in rows)]) == expected


def test_several_names_become_one_pattern():
    assert any_of(["wte.weight"]) == "wte.weight"
    assert any_of(["wte.weight", "head.weight"]) == "(wte|head).weight"
    assert any_of(["a.b.weight", "bias"]) == r"(a\.b\.weight|bias)"


def test_the_title_says_what_the_operations_do():
    from ckptkit.algebra import Rename, Split
    from ckptkit.verbs.guessing.draft import Sure
    from ckptkit.verbs.guessing.written import title_of

    sure = [
        Sure(Rename({"h.(.*)": r"layers.\1"}), ""),
        Sure(Split("c.weight", ("q.weight", "k.weight"), 0), ""),
        Sure(Split("c.bias", ("q.bias", "k.bias"), 0), ""),
    ]
    assert title_of(sure, (1, 2)) == "renames h.(.*); splits c.weight and 1 more"
    assert title_of([], (3, 4)) == "version 3 to 4"
    assert len(title_of(sure * 40, (1, 2))) <= 72
