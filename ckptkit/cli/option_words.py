"""A sentence that names arguments of ``restore``, with the options of ``check`` in their place."""

from __future__ import annotations

import re

_WORDS = (
    (r"apply_proposals=True", "--apply-renames"),
    (r"on_shape='skip' or 'slice'", "--on-shape skip or slice"),
    (r"(on_conflict|on_shape|use)=(['\"])(\w+)\2", r"\1 \3"),
    (r"allow_missing(?!\s*=)", "--allow-missing"),
    (r"allow_unexpected", "--allow-unexpected"),
    (r"min_coverage", "--min-coverage"),
    (r"on_conflict", "--on-conflict"),
    (r"on_shape", "--on-shape"),
    (r"use(?= (?:ema|raw)\b)", "--use"),
)
#: Not inside a name: those of tensors have letters and dots around.
_RULES = tuple((re.compile(rf"(?<![\w.-]){old}(?![\w.])"), new) for old, new in _WORDS)


def in_options(sentence: str) -> str:
    """Return the sentence as somebody at a command line would type what it names."""
    for pattern, new in _RULES:
        sentence = pattern.sub(new, sentence)
    return sentence
