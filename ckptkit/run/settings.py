"""What was asked for this time against what was saved: every setting free, or of the architecture.

Pure. A free setting takes the value that is asked for now; one of the architecture must be what
it was, unless that is forced, because the stored weights were made by it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

from ckptkit.errors import SettingConflictError

Policy = Literal["free", "architecture"]
POLICY_KEY = "resume"  # of a dataclass field's metadata: {"resume": "architecture"}


class Change(NamedTuple):
    """One setting that differs. ``used`` is what the run goes on with."""

    name: str
    asked: Any
    saved: Any
    used: Any
    policy: Policy


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()  # stands for a setting that one side does not have


def as_settings(config: Any) -> dict[str, Any]:
    """Settings by name: of a mapping, a dataclass, or a namespace such as argparse makes.

    Nested mappings become dotted names, paths text. What is no data stays for ``save`` to refuse.
    """
    if config is None:
        return {}
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        config = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    elif not isinstance(config, Mapping):
        config = vars(config)
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{name}.{inner}": v for inner, v in as_settings(value).items()}
        else:
            flat[str(name)] = str(value) if isinstance(value, PurePath) else value
    return flat


def policies_of(config: Any) -> dict[str, Policy]:
    """What a dataclass says of its own fields by their metadata."""
    if not dataclasses.is_dataclass(config):
        return {}
    fields = dataclasses.fields(config)
    return {f.name: f.metadata[POLICY_KEY] for f in fields if POLICY_KEY in f.metadata}


def compare_settings(
    asked: Mapping[str, Any], saved: Mapping[str, Any], policies: Mapping[str, Policy]
) -> list[Change]:
    """Return every setting that differs, with what will be used.

    A name without a policy is free: only who says "architecture" gets a refusal.
    """
    changes = []
    for name in [*asked, *(name for name in saved if name not in asked)]:
        now, before = asked.get(name, ABSENT), saved.get(name, ABSENT)
        if _same(now, before):
            continue
        policy = policies.get(name, policies.get(name.rpartition(".")[2], "free"))
        used = before if now is ABSENT else now
        changes.append(Change(name, now, before, used, policy))
    return changes


def changed_architecture(changes: Iterable[Change]) -> list[Change]:
    """Those of the changes that a resume refuses: of the architecture, and known on both sides."""
    fixed = [c for c in changes if c.policy == "architecture"]
    return [c for c in fixed if c.saved is not ABSENT and c.asked is not ABSENT]


def require_architecture(changes: Iterable[Change], where: object, *, force: bool = False) -> None:
    """Refuse changes of the architecture, all of them at once.

    Raises: SettingConflictError.
    """
    fixed = changed_architecture(changes)
    if not fixed or force:
        return
    told = ", ".join(f"{c.name} is {c.asked!r} and was {c.saved!r}" for c in fixed)
    raise SettingConflictError(
        where, told, "the architecture that the checkpoint was made by",
        "give these the saved values, start a new run, or force=True if you know the weights fit",
    )  # fmt: skip


def _same(one: Any, other: Any) -> bool:
    """Equal in value and kind; a tuple and a list of the same items are the same setting."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    try:
        return bool(one == other) or (one != one and other != other)  # noqa: PLR0124  NaN
    except (TypeError, ValueError, RuntimeError):
        return one is other


def for_people(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON holds them; what it has no form for is told as text."""
    return {name: _told(value) for name, value in settings.items()}


def _told(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_told(one) for one in value]
    return str(value)
