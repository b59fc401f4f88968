"""A trainer by its name, and what it needs to be there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from ckptkit.errors import MissingExtraError, UnknownTrainerError
from ckptkit.hooks.manager import plugin_table, trainers
from ckptkit.protocols import Action, Trainer


def find_trainer(name: str) -> Trainer:
    """Return the trainer that a plugin offers under this name. Raises: UnknownTrainerError."""
    known = {one.name: one for one in trainers()}
    if name in known:
        return known[name]
    expected = f"one that is installed: {', '.join(known)}" if known else "a plugin that offers one"
    raise UnknownTrainerError(
        f"trainer {name}", "no plugin offers it", expected, _advice(name, known)
    )


def _advice(name: str, known: Iterable[str]) -> str:
    rows = plugin_table()
    off = [row.name for row in rows if row.state == "disabled"]
    if name in off:
        return f"the plugin {name} is left out by CKPTKIT_DISABLE_PLUGINS: take it out of there"
    failed = [row.name for row in rows if row.state == "failed"]
    near = get_close_matches(name, list(known), 1)
    if near and name not in failed:  # else it is known why there is none of that very name
        return f"did you mean {near[0]}?"
    if failed:
        return f"ckptkit plugins says why these plugins failed: {', '.join(failed)}"
    return "install the package that offers it; ckptkit plugins shows what there is"


def find_action(trainer: Trainer, name: str) -> Action:
    """Return what the trainer does with a finished checkpoint. Raises: UnknownTrainerError."""
    for one in trainer.actions:
        if one.name == name:
            return one
    there = ", ".join(one.name for one in trainer.actions)
    raise UnknownTrainerError(
        f"trainer {trainer.name}", f"has no action {name!r}",
        f"one of its own: {there}" if there else "a trainer that has actions", "",
    )  # fmt: skip


def missing_libraries(trainer: Trainer) -> list[str]:
    """Name the libraries that it needs and that are not installed; imports none of them."""
    tops = dict.fromkeys(name.partition(".")[0] for name in trainer.needs)
    return [name for name in tops if not _is_there(name)]


def _is_there(name: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # who looks for modules may refuse; one may have no spec
        return False


def require_libraries(trainer: Trainer) -> None:
    """Refuse to begin where a library is missing. Raises: MissingExtraError."""
    missing = missing_libraries(trainer)
    if missing:
        some = ", ".join(missing)
        raise MissingExtraError(
            f"trainer {trainer.name}", f"needs {some}, and that is not installed", "",
            install_advice(trainer, missing),
        )  # fmt: skip


def install_advice(trainer: Trainer, missing: Iterable[str]) -> str:
    """The command that brings what is missing."""
    return (
        f"pip install '{trainer.install}'" if trainer.install else f"install {', '.join(missing)}"
    )
