"""Which dialect a tree is in: the highest score wins, and a tie is refused, never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ckptkit.errors import AmbiguousDialectError, UnknownDialectError
from ckptkit.protocols import Dialect, Recognition, SourceView


class Verdict(NamedTuple):
    """The dialect that a tree is read in, why, and who came second (name and score)."""

    dialect: Dialect
    score: int
    evidence: tuple[str, ...]
    runner_up: tuple[str, int] | None


def recognise(view: SourceView, dialects: Sequence[Dialect], wanted: str | None = None) -> Verdict:
    """Let every dialect score the tree and take the best, or the one the user ``wanted``.

    Raises: UnknownDialectError, AmbiguousDialectError.
    """
    claims = [
        (claim, dialect) for dialect in dialects if (claim := dialect.recognise(view)) is not None
    ]
    claims.sort(key=lambda pair: (-pair[0].score, pair[1].name))
    if wanted is not None:
        return _as_wanted(view, dialects, claims, wanted)
    if not claims:
        raise UnknownDialectError(
            view.name,
            "no dialect recognises its keys",
            advice=f"name one with --dialect: {_names(dialects)}",
        )
    (best, winner), runner_up = claims[0], claims[1] if len(claims) > 1 else None
    if runner_up is not None and runner_up[0].score == best.score:
        raise _tie(view, claims)
    return Verdict(winner, best.score, best.evidence, _second(runner_up))


_Claim = tuple[Recognition, Dialect]


def _as_wanted(
    view: SourceView, dialects: Sequence[Dialect], claims: list[_Claim], wanted: str
) -> Verdict:
    """The dialect of that name, whatever the scores say."""
    dialect = next((one for one in dialects if one.name == wanted), None)
    if dialect is None:
        from difflib import get_close_matches

        near = get_close_matches(wanted, [one.name for one in dialects], 1)
        raise UnknownDialectError(
            view.name, f"no dialect is called {wanted!r}", f"one of {_names(dialects)}",
            f"did you mean {near[0]}?" if near else "",
        )  # fmt: skip
    own = next((claim for claim, one in claims if one is dialect), None)
    second = next((pair for pair in claims if pair[1] is not dialect), None)
    evidence = own.evidence if own else ("it does not recognise the keys itself",)
    return Verdict(
        dialect,
        own.score if own else 0,
        (f"asked for by name: {wanted}", *evidence),
        _second(second),
    )


def _second(claim: _Claim | None) -> tuple[str, int] | None:
    return None if claim is None else (claim[1].name, claim[0].score)


def _tie(view: SourceView, claims: list[_Claim]) -> AmbiguousDialectError:
    score = claims[0][0].score
    tied = [(claim, dialect) for claim, dialect in claims if claim.score == score]
    told = " and ".join(
        f"{dialect.name} (score {score}: {'; '.join(claim.evidence)})" for claim, dialect in tied
    )
    return AmbiguousDialectError(
        view.name,
        f"claimed equally by {told}",
        "one clear winner",
        f"say which it is: --dialect {' or --dialect '.join(dialect.name for _, dialect in tied)}",
    )


def _names(dialects: Sequence[Dialect]) -> str:
    return ", ".join(sorted(dialect.name for dialect in dialects))
