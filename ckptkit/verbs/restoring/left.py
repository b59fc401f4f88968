"""What of a checkpoint nothing took, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ckptkit.report.values import ComponentReport
from ckptkit.verbs.restoring.nested import JOINT
from ckptkit.verbs.restoring.planned import Request

#: Sections that are read by people and programs; no live object is made of them.
INFORMATION = frozenset({"metrics", "history", "config", "trackers", "provenance"})

#: What a section would restore, where only one kind of object can take it.
_MADE_OF = {
    "ema": "the averaged weights",
    "optimizer": "the state of the optimizer",
    "scheduler": "the position of the schedule",
    "scaler": "the loss scale",
    "rng": "the random streams",
    "data": "the place in the data",
    "progress": "the counts of epochs, steps and samples",
    "extra": "what no section of ours describes",
}


#: Sections of plain values, which most scripts read rather than restore.
_VALUES = frozenset({"progress"})


def left_sections(
    components: Sequence[ComponentReport], request: Request
) -> Iterator[tuple[str, str]]:
    """Yield each section with live state that nothing took, and the reason."""
    taken = {part.source.partition(JOINT)[0] for part in components if part.source}
    asked = {part.name.partition(JOINT)[0]: part for part in components}
    for key in request.checkpoint.document:
        name = str(key)
        if name in taken or name in INFORMATION or JOINT in name:
            continue
        told = f"{_MADE_OF[name]}; " if name in _MADE_OF else ""
        part = asked.get(name)
        if part is not None and part.status == "fresh":
            yield name, f"{told}mode {request.mode} leaves it"
        elif name == "model" and request.use == "ema" and "ema" in taken:
            yield name, "the averaged weights were taken instead"
        elif part is not None and part.status == "absent":
            yield name, f"{told}nothing of it was taken"
        elif name in _VALUES:
            yield name, f'{told}checkpoint.state("{name}") gives them'
        else:
            yield name, f"{told}no target of this name was given"
