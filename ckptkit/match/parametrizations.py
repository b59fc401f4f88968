"""The names that one parameter has under weight_norm, spectral_norm and pruning, old and new.

Source: torch.nn.utils.weight_norm (``weight_g``, ``weight_v``), spectral_norm (``weight_orig``,
``weight_u``, ``weight_v``), prune (``weight_orig``, ``weight_mask``), parametrizations
(``parametrizations.weight.original0``, ``.original1``, ``.original``, ``.0._u``, ``.0._v``).
"""

from __future__ import annotations

import re

from ckptkit.match.board import Board

_WORD = "parametrizations."
_NEW = re.compile(r"(.*\.)?parametrizations\.(\w+)\.(original0|original1|original|0\._u|0\._v)")

#: New spelling -> the old suffix. ``_v`` is old for two: a weight_norm's and a spectral_norm's,
#: which never lie beside the same other names.
_OLD = {"original0": "_g", "original1": "_v", "original": "_orig", "0._u": "_u", "0._v": "_v"}


def other_spellings(name: str) -> tuple[str, ...]:
    """Return what the other generation of torch calls this tensor; empty for a plain name."""
    if _WORD in name:
        found = _NEW.fullmatch(name)
        return (f"{found[1] or ''}{found[2]}{_OLD[found[3]]}",) if found else ()
    path, dot, leaf = name.rpartition(".")
    stem, under, word = leaf.rpartition("_")
    if not under or not stem or word not in ("g", "v", "u", "orig"):
        return ()
    return tuple(
        f"{path}{dot}{_WORD}{stem}.{new}" for new, old in _OLD.items() if old == under + word
    )


def match_parametrizations(board: Board) -> None:
    """Claim names that differ only in the spelling of a parametrization, and pruned weights."""
    targets = {now: name for name, now in board.free_wanted.items()}
    for source, now in list(board.free_stored.items()):
        found = [targets[word] for word in other_spellings(now) if word in targets]
        found = [target for target in found if target in board.free_wanted]
        if len(found) == 1:
            board.claim(found[0], source, "parametrization")
    _prune(board)
    _unprune(board)


def _prune(board: Board) -> None:
    """Fill a wanted weight from what was pruned and its mask: their product."""
    sources = _by_call(board.tensors("stored"))
    targets = _by_call(board.tensors("wanted"))
    for now, mask in sources.items():
        stem = now.removesuffix("_mask")
        original, target = sources.get(stem + "_orig"), targets.get(stem)
        if now == stem or not original or not target:
            continue
        if board.stored[original].shape == board.stored[mask].shape:
            board.claim(target, original, "parametrization", factor=mask)


def _unprune(board: Board) -> None:
    """Fill what is pruned in the model from a weight that was not yet; the mask stays."""
    sources = _by_call(board.tensors("stored"))
    targets = _by_call(board.tensors("wanted"))
    for now, target in targets.items():
        stem = now.removesuffix("_orig")
        source, mask = sources.get(stem), targets.get(stem + "_mask")
        if now == stem or not source or not mask or board.wanted[mask].kind == "parameter":
            continue
        board.claim(target, source, "parametrization")
        del board.free_wanted[mask]
        board.defaulted.add(mask)


def _by_call(called: dict[str, str]) -> dict[str, str]:
    return {now: name for name, now in called.items()}


def tell_unfolded(board: Board) -> None:
    """Note weights that a parametrization computes on one side and the other holds plain."""
    for plain, parted, advice in (
        ("stored", "wanted", "load the weights first and parametrize the model afterwards"),
        ("wanted", "stored", "parametrize the model alike, load, and remove the parametrization"),
    ):  # fmt: skip
        whole = set(board.tensors(plain).values())
        found = sorted({stem for now in board.tensors(parted).values()
                        if (stem := _stem(now)) in whole})  # fmt: skip
        if found:
            board.notes.append(
                f"{found[0]}{f' and {len(found) - 1} more' if len(found) > 1 else ''}: {plain} as "
                f"one tensor, {parted} in the parts of a parametrization, which no renaming "
                f"joins; {advice}"
            )


def _stem(name: str) -> str:
    """``conv.weight`` for each part of it under a parametrization; "" for a plain name."""
    if found := _NEW.fullmatch(name):
        return f"{found[1] or ''}{found[2]}"
    stem, under, word = name.rpartition("_")
    return stem if under and word in ("g", "v", "u", "orig") else ""
