"""Fresh or resumed, and from where: what was asked for becomes a folder and a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ckptkit.errors import NoCheckpointError, NotFoundError
from ckptkit.run.choose import Choice, Skipped, choose, choose_named
from ckptkit.run.experiment import (
    CHECKPOINTS,
    LATEST_WORD,
    Experiment,
    find_experiment,
    has_checkpoints,
    is_experiment,
    list_experiments,
    make_experiment,
    saved_later,
)
from ckptkit.run.names import BEST

AUTO, NEVER = "auto", "never"
_OF_NEWEST = (LATEST_WORD, "best")
WORDS = (AUTO, NEVER, *_OF_NEWEST)  # whatever lies here under such a name
_SHOWN = 5  # runs, where a name is none of theirs


class Decision(NamedTuple):
    """Where the run lives, and what it goes on from (None: it is new).

    ``note`` is for the person in front of it: of a new run it says the folder, after ``why``.
    """

    experiment: Experiment
    checkpoint: Path | None
    skipped: tuple[Skipped, ...] = ()
    note: str = ""
    newest: bool = False  # the newest was wanted, whichever that is
    new: bool = False  # the folder was made for it
    why: str = ""  # it is new, or begins, if there is more to say than that


Ask = Callable[[str], bool]  # asks a person; only called where there is a terminal
Make = Callable[[Path, datetime], Experiment]


def decide(
    root: Path, resume: str | os.PathLike[str] | None, now: datetime, ask: Ask | None,
    make: Make = make_experiment,
) -> Decision:  # fmt: skip
    """Decide by ``resume``.

    "auto": go on if there is anything, else begin. "never": begin. "latest", "best": go on in the
    newest run below ``root``. A name of a run or of a checkpoint in the newest run, or a path to
    either: go on there. None: ``ask`` if there is anything to go on from; nobody to ask: begin.
    ``make`` makes the folder of a new run; who only wants to know makes none.
    Raises: NotFoundError for what is named and not there; NoCheckpointError where a folder is full
    of checkpoints of which none verifies.
    """
    if resume is None and ask is None:
        return _begun(make(root, now), _passed_over(root))
    word = _asked(root, ask) if resume is None else os.fspath(resume)
    if word == NEVER:
        return _begun(make(root, now))
    if word == AUTO:
        return _auto(root, now, make)
    if word in _OF_NEWEST:
        return _in_run(find_experiment(root), word)
    return _named(root, word, now, make)


def _passed_over(root: Path) -> str:
    """What is there and nobody spoke of; found by names, nothing is read."""
    try:
        found = find_experiment(root)
    except NotFoundError:
        return ""
    if not has_checkpoints(found):
        return ""
    return f'resume="auto" would go on with {found.folder}'


def _begun(experiment: Experiment, beside: str = "", *, why: str = "") -> Decision:
    """A run that begins in a folder of its own. ``beside``: what else there is."""
    note = f"a new run in {experiment.folder}"
    note = f"{why}: {note}" if why else f"{note}; {beside}" if beside else note
    return Decision(experiment, None, note=note, new=True, why=why or beside)


def _asked(root: Path, ask: Ask | None) -> str:
    if ask is None:
        return NEVER
    found = _newest(root)
    if found is None or found[1].chosen is None:
        return NEVER
    where = found[1].chosen
    told = f"epoch {where.epochs}, step {where.steps}"
    return AUTO if ask(f"Found {where.path} ({told}). Resume from it? [y/N]: ") else NEVER


def _newest(root: Path) -> tuple[Experiment, Choice] | None:
    try:
        experiment = find_experiment(root)
    except NotFoundError:
        return None
    return experiment, choose(experiment.checkpoints)


def _auto(root: Path, now: datetime, make: Make) -> Decision:
    found = _newest(root)
    if found is None:
        return _begun(make(root, now), why="nothing to resume")
    experiment, choice = found
    if choice.chosen is not None:
        note = "" if experiment.folder == root else _named_later(root, experiment)
        return Decision(experiment, choice.chosen.path, choice.skipped, note, newest=True)
    if choice.skipped:
        raise _none_whole(experiment, choice)
    note = f"the newest run has no checkpoint yet: it begins in {experiment.folder}"
    return Decision(experiment, None, note=note, newest=True)


def _named_later(root: Path, chosen: Experiment) -> str:
    later = saved_later(root, chosen)
    if later is None:
        return ""
    return f"{later.name} was saved to later; resume={later.name!r} goes on with it"


def choose_newest(experiment: Experiment) -> Decision:
    """Go on from the newest checkpoint of a run. Raises: NoCheckpointError, NotFoundError."""
    return _in_run(experiment, LATEST_WORD)


def _in_run(experiment: Experiment, word: str, runs: Sequence[str] = ()) -> Decision:
    if word == "best" and not os.path.lexists(experiment.checkpoints / BEST):
        return _without_best(experiment)
    choice = choose_named(experiment.checkpoints, word, runs)
    if choice.chosen is None and choice.skipped:
        raise _none_whole(experiment, choice)
    if choice.chosen is None:
        raise NotFoundError(
            experiment.checkpoints, "holds no checkpoint", "one to go on from", "start the run"
        )
    newest = word == LATEST_WORD
    return Decision(experiment, choice.chosen.path, choice.skipped, newest=newest)


def _without_best(experiment: Experiment) -> Decision:
    """Go on from the best that is left by its own word, else, and say so, from the newest."""
    from ckptkit.run.best import rebuild_best

    rebuilt = rebuild_best(experiment.checkpoints)
    if rebuilt is None:
        raise NotFoundError(
            experiment.checkpoints, f"has no {BEST}, and nothing to make one of",
            "a checkpoint", "start the run",
        )  # fmt: skip
    return Decision(experiment, rebuilt.path, note=rebuilt.note)


def _named(root: Path, word: str, now: datetime, make: Make) -> Decision:
    """A run by its name, a checkpoint of the newest run by its name, or any path."""
    path = Path(word)
    if os.path.lexists(path):
        if is_experiment(path):
            return _in_run(Experiment(path), LATEST_WORD)
        home = path.absolute().parent
        if home.name == CHECKPOINTS and is_experiment(home.parent):
            return Decision(Experiment(home.parent), path)
        made = make(root, now)
        note = f"{path.name} lies in no run folder: a new run in {made.folder} goes on from it"
        return Decision(made, path, note=note, new=True)
    if is_experiment(root / word):
        return _in_run(Experiment(root / word), LATEST_WORD)
    if path.parent != Path():
        raise NotFoundError(
            word, "there is nothing at this path", "a checkpoint, or the folder of a run",
            "name one that is there; ckptkit list shows every checkpoint below a folder",
        )  # fmt: skip
    runs = list_experiments(root)
    if runs or is_experiment(root):
        newest = [one.name for one in reversed(runs)][:_SHOWN]
        return _in_run(find_experiment(root), word, () if is_experiment(root) else newest)
    raise NotFoundError(
        word, f"is no path, and {root} holds no run of this name",
        "auto, latest, best, a run's name, a checkpoint's name, or a path",
        "look with: ckptkit list",
    )  # fmt: skip


def _none_whole(experiment: Experiment, choice: Choice) -> NoCheckpointError:
    told = "; ".join(f"{one.path.name}: {one.reason}" for one in choice.skipped[:5])
    return NoCheckpointError(
        experiment.checkpoints, f"none of {len(choice.skipped)} checkpoints is whole ({told})",
        "one that verifies", "save what is left with ckptkit recover, or begin anew",
    )  # fmt: skip
