"""Objects in plain data that are saved, and do not come back as what they were."""

from __future__ import annotations

from collections.abc import Iterator

from ckptkit.nodes import Record
from ckptkit.tree import path_text, walk
from ckptkit.types import Notice
from ckptkit.verbs.seal import SealPlan
from ckptkit.verbs.targets import shown_names

_RECORD = 3  # the code of its token (docs/format.md, section "Tokens")
_REVIVED = "torch._utils"  # sparse tensors and the like, which torch itself makes again


def record_notices(plan: SealPlan) -> tuple[Notice, ...]:
    """Say which values are kept as inert records, and how to save them as data."""
    names = [name for section in plan.flat.tokens for name in _records(plan, section)]
    if not names:
        return ()
    many = "one object comes" if len(names) == 1 else f"{len(names):,} objects come"
    message = (
        f"{many} back as an inert record, not as an instance of its class: {shown_names(names)}; "
        "save vars(args), dataclasses.asdict(config), value._asdict() or member.value instead"
    )
    return (Notice("warning", "kept-as-records", message),)


def _records(plan: SealPlan, section: str) -> Iterator[str]:
    """The places of records; only sections that have any are walked."""
    tokens = plan.flat.tokens[section]
    if not any(type(t) is list and t[0] == _RECORD and t[1] != _REVIVED for t in tokens):
        return
    for path, node in walk(plan.document[section]):
        if type(node) is Record and not _is_torch(node.name.module):
            yield f"{path_text((section, *path))} ({node.name.text})"


def _is_torch(module: str) -> bool:
    return module == _REVIVED
