"""docs/hooks.md and the hookspecs promise the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ckptkit.hooks import specs

DOCS = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
HOOKS = sorted(name for name in vars(specs) if name.startswith("ckptkit_"))
FIELDS = ("When", "Since", "Merge", "On error")


def of_docstring(name: str) -> dict[str, str]:
    text = " ".join(vars(specs)[name].__doc__.split()).replace("``", "`")
    parts = re.split(rf"({'|'.join(FIELDS)}): ", text)
    return {"": parts[0].strip()} | {
        k: v.strip() for k, v in zip(parts[1::2], parts[2::2], strict=True)
    }


def of_docs(name: str) -> dict[str, str]:
    section = re.search(rf"^### {name}\n(.*?)(?=^#|\Z)", DOCS, re.MULTILINE | re.DOTALL)[1]
    first, *items = section.strip().split("\n- ")
    pairs = [item.split(": ", 1) for item in items]
    return {"": first.strip()} | {key: " ".join(text.split()) for key, text in pairs}


def test_the_docs_have_exactly_the_hooks_that_there_are():
    assert sorted(re.findall(r"^### (\w+)$", DOCS, re.MULTILINE)) == HOOKS


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_says_when_since_merge_and_on_error(name):
    assert set(of_docstring(name)) == {"", *FIELDS}


@pytest.mark.parametrize("name", HOOKS)
def test_docs_and_docstring_are_word_for_word_the_same(name):
    assert of_docs(name) == of_docstring(name)
