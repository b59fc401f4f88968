"""Whether a stored scheduler is of the class of the live one, told by its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ckptkit.torch_bridge.scheduler_fields import OPTIONAL, SETTINGS, classes_with, known_fields
from ckptkit.torch_bridge.schedulers import children, class_of

_FORMS = ("lr_lambdas", "_schedulers", "num_bad_epochs", "T_cur")  # position of some classes alone


def class_faults(name: str, live: Any, saved: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each scheduler that was another class when it was saved.

    torch takes any state, sets its fields beside its own, and goes on with a wrong schedule.
    """
    kind = class_of(live)
    mine = set(SETTINGS[kind]) if kind else set(live.__dict__)
    lacking = sorted(key for key in mine if key not in saved and key not in OPTIONAL)
    foreign = sorted(key for key in saved if key in known_fields() and key not in mine)
    forms = [key for key in _FORMS if (key in saved) != (key in live.__dict__)]
    if foreign or (kind and (lacking or forms)):
        return [_fault(name, live, saved, lacking, [*foreign, *(f for f in forms if f in saved)])]
    parts = saved.get("_schedulers", [])
    inner = children(live) if "_schedulers" in saved else []
    if len(parts) != len(inner):
        return [f"{name}: it has {len(inner)} parts, the one in the checkpoint {len(parts)}"]
    return [
        fault
        for index, (child, part) in enumerate(zip(inner, parts, strict=True))
        for fault in class_faults(f"{name}/{index}", child, part)
    ]


def _fault(
    name: str, live: Any, saved: Mapping[str, Any], lacking: list[str], foreign: list[str]
) -> str:
    fields = {key for key in saved if key in known_fields()}
    guess = classes_with(fields)
    was = f" (it looks like {guess[0]})" if guess else ""
    lacks = f" lacks {', '.join(lacking)}" if lacking else ""
    has = f" has {', '.join(foreign)}" if foreign else ""
    both = " and" if lacks and has else ""
    return (
        f"{name}: the checkpoint's scheduler is no {type(live).__name__}{was}: it{has}{both}{lacks}"
    )
