"""``python -m tests.mismatches.table`` prints docs/mismatches.md: every cell of it from a run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import torch

from tests.mismatches.case import Case
from tests.mismatches.outcome import Outcome, Tried, outcome_of
from tests.mismatches.training import CASES as OF_TRAINING
from tests.mismatches.weights import CASES as OF_WEIGHTS

CASES = (*OF_WEIGHTS, *OF_TRAINING)
_MAX_CHARS = 110

_HEAD = """\
# When the file and the model differ

Each row is a run: a file is written by `torch.save`, a model of another shape of code is made, and both ways of
loading are tried on it. **torch** is `load_state_dict`, first as it is, then with `strict=False`; **ckptkit** is
`ckptkit.restore(path, {...})` as it is, and where that refuses, with the one argument that its report proposes.
*Right* counts tensors (of an optimizer: its moments; of settings: lr and T_max) that equal what they should be
afterwards, bit for bit. Where nothing can be right, because it is the wrong file, *filled* counts what was changed.

This page is printed by `python -m tests.mismatches.table`; a test compares it with a run. torch VERSION.
"""


def document() -> str:
    """The whole page."""
    outcomes = [(case, outcome_of(case)) for case in CASES]
    parts = [_HEAD.replace("VERSION", torch_version()), *_table(outcomes)]
    parts += ["", "## Each in full", ""]
    for number, (case, outcome) in enumerate(outcomes, 1):
        parts += _in_full(number, case, outcome)
    return "\n".join(parts).rstrip() + "\n"


def torch_version() -> str:
    """Without the build: the words of its errors do not depend on that."""
    return torch.__version__.partition("+")[0]


def _table(outcomes: list[tuple[Case, Outcome]]) -> Iterator[str]:
    yield "| | case | torch prints | torch does | ckptkit prints | ckptkit does |"
    yield "|---|---|---|---|---|---|"
    for number, (case, outcome) in enumerate(outcomes, 1):
        cells = (str(number), case.name, *torch_cells(outcome), *our_cells(outcome))
        yield f"| {' | '.join(_cell(text) for text in cells)} |"


def torch_cells(outcome: Outcome) -> tuple[str, str]:
    """What torch says, and how much is right afterwards."""
    strict, lenient = outcome.strict, outcome.lenient
    does = strict.share
    if strict.refused:
        said = _quoted(_first_lines(strict.said))
        then = "the same error" if lenient.refused else "silent"
        does += f"; `strict=False`: {then}, {lenient.share}"
    elif strict.wrong:
        said = "nothing: silently wrong"
    else:
        said = "nothing"
    return said, does


def our_cells(outcome: Outcome) -> tuple[str, str]:
    """The verdict of each call, and how much is right after the last."""
    told = []
    for one in outcome.ours:
        verdict = _quoted(one.said.partition("\n")[0])
        told.append(f"with `{one.asked}`: {verdict}" if one.asked else verdict)
    return "<br>".join(told), outcome.ours[-1].share


def _first_lines(said: str) -> str:
    """The first line of an error; where that only announces the others, the next one, too."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = f"{lines[0]} {lines[1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
    return told if len(told) <= _MAX_CHARS else told[: _MAX_CHARS - 1] + "…"


def _in_full(number: int, case: Case, outcome: Outcome) -> Iterator[str]:
    yield f"### {number}. {case.name}"
    yield ""
    yield case.story
    yield ""
    for one in outcome.ours:
        yield from _call(one, brief=one is not outcome.ours[0] and not one.refused)


def _call(one: Tried, *, brief: bool) -> Iterator[str]:
    if one.asked:
        yield f"With `{one.asked}`:"
        yield ""
    yield "```"
    yield one.said.split("\n\n")[0] if brief else one.said
    yield "```"
    yield ""


def _quoted(text: str) -> str:
    return f"`{text}`"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(document())
