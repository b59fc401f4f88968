"""What a caller of restore asked for, checked and in the words of the rooms below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from ckptkit.match.values import MatchPolicy, OnConflict, SettingPolicy, ShapeChoice
from ckptkit.types import Limits
from ckptkit.verbs.restoring.planned import MODES

Globs = bool | str | Sequence[str]
Renames = Mapping[str, str] | Sequence[tuple[str, str]]
OnShape = str | Callable[[str, Any, Any], Any]
Conflicts = OnConflict | Mapping[str, OnConflict]

_SHAPE_WORDS = ("error", "skip", "slice")
_CONFLICT_WORDS = ("checkpoint", "current", "error")
ANY_FIELD = "*"  # in a mapping of conflicts: the choice for every field that has none


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFor:
    """The arguments of ``ckptkit.restore`` but path and targets; its docstring explains them."""

    mode: str
    policy: MatchPolicy
    settings: SettingPolicy
    use: str
    device: Any
    dialect: str | None
    trainer: str
    migrators: Sequence[Any]
    workers: int
    progress: Callable[[int], None] | None
    limits: Limits


class RestoreOptions(TypedDict, total=False):
    """The options of ``ckptkit.restore``, whose docstring explains them."""

    mode: str
    allow_missing: Globs
    allow_unexpected: Globs
    rename: Renames
    apply_proposals: bool
    on_shape: OnShape
    min_coverage: float
    cast: str
    on_conflict: Conflicts
    use: str
    device: Any
    dialect: str | None
    trainer: str
    migrators: Sequence[Any]
    workers: int
    progress: Callable[[int], None] | None
    limits: Limits


def asked_for(
    *,
    mode: str,
    use: str,
    on_conflict: Conflicts,
    device: Any,
    dialect: str | None,
    trainer: str,
    migrators: Sequence[Any],
    workers: int,
    progress: Callable[[int], None] | None,
    limits: Limits,
    **matching: Any,
) -> AskedFor:
    """Check the options; those of matching become a policy. Raises: ValueError, TypeError."""
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(map(repr, MODES))}, not {mode!r}")
    if use not in ("raw", "ema"):
        raise ValueError(f"use is 'raw' or 'ema', not {use!r}")
    return AskedFor(
        mode=mode, policy=_match_policy(**matching), settings=_setting_policy(on_conflict),
        use=use, device=device, dialect=dialect, trainer=trainer, migrators=migrators,
        workers=workers, progress=progress, limits=limits,
    )  # fmt: skip


def _match_policy(
    *,
    allow_missing: Globs,
    allow_unexpected: Globs,
    rename: Renames,
    apply_proposals: bool,
    on_shape: OnShape,
    min_coverage: float,
    cast: str,
) -> MatchPolicy:
    if not 0 <= min_coverage <= 1:
        raise ValueError(f"min_coverage is a fraction from 0 to 1, not {min_coverage!r}")
    if cast not in ("report", "error"):
        raise ValueError(f"cast is 'report' or 'error', not {cast!r}")
    return MatchPolicy(
        allow_missing=_globs(allow_missing),
        allow_unexpected=_globs(allow_unexpected),
        rename=_rename_rules(rename),
        apply_proposals=apply_proposals,
        on_shape=_shape_choice(on_shape),
        min_coverage=min_coverage,
        cast="error" if cast == "error" else "report",
    )


def _rename_rules(rename: Renames) -> tuple[tuple[str, str], ...] | Mapping[str, str]:
    if isinstance(rename, Mapping):
        return rename
    given: Any = rename  # whatever a caller may have written
    rules = () if isinstance(given, str) else tuple(tuple(rule) for rule in given)
    if isinstance(given, str) or not all(
        len(rule) == 2 and isinstance(rule[0], str) and isinstance(rule[1], str) for rule in rules
    ):
        raise ValueError(
            "rename is a mapping of exact names, {'stored': 'wanted'}, or a list of pairs of a "
            f"regular expression and its replacement, [(r'^old\\.', 'new.')], not {rename!r}"
        )
    return rules


def _setting_policy(on_conflict: Conflicts) -> SettingPolicy:
    fields = dict(on_conflict) if isinstance(on_conflict, Mapping) else {ANY_FIELD: on_conflict}
    for field, word in fields.items():
        if word not in _CONFLICT_WORDS:
            words = ", ".join(map(repr, _CONFLICT_WORDS))
            raise ValueError(f"on_conflict is one of {words}, not {word!r} (for {field})")
    default = fields.pop(ANY_FIELD, "checkpoint")
    return SettingPolicy(default=default, fields=fields)


def _globs(allowed: Globs) -> bool | tuple[str, ...]:
    if isinstance(allowed, bool):
        return allowed
    return (allowed,) if isinstance(allowed, str) else tuple(allowed)


def _shape_choice(on_shape: OnShape) -> ShapeChoice:
    if callable(on_shape):
        return ShapeChoice("custom", on_shape)
    if on_shape not in _SHAPE_WORDS:
        words = ", ".join(map(repr, _SHAPE_WORDS))
        raise ValueError(f"on_shape is {words} or a function, not {on_shape!r}")
    return ShapeChoice(on_shape)  # type: ignore[arg-type]
