"""What the checkpoints of a run are made of, looked at before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ckptkit.errors import CkptkitError, UnrepresentableError
from ckptkit.run.asked import asked_settings
from ckptkit.run.background import WhenBusy
from ckptkit.run.options import RunOptions
from ckptkit.run.probe import ProbeFunction
from ckptkit.run.retention import Retention
from ckptkit.run.sections import OWN
from ckptkit.run.settings import as_settings
from ckptkit.torch_bridge.capture import capture_state
from ckptkit.torch_bridge.kinds import kind_of
from ckptkit.torch_bridge.trees import is_array
from ckptkit.verbs.saving.names import check_sections, check_versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What every checkpoint of a run is made of, apart from its mark."""

    state: Mapping[str, Any]
    config: Any = None
    trainer: str = ""
    versions: Mapping[str, int] = field(default_factory=dict)
    side_files: Mapping[str, Any] = field(default_factory=dict)
    latest: bool = True
    probe: ProbeFunction | None = None
    background: bool = False
    when_busy: WhenBusy = "wait"
    retention: Retention = field(default_factory=Retention)
    generators: Mapping[str, Any] = field(default_factory=dict)


def recipe_of(state: Mapping[str, Any], options: RunOptions) -> Recipe:
    """Return what a run with these options saves of a script's state.

    Raises: UnrepresentableError and UnsafePathError, for what the first save would refuse.
    """
    assert isinstance(options.retention, Retention)  # a rule alone has become one
    settings, asked = as_settings(options.config), asked_settings(state)
    recipe = Recipe(
        state=state, config={"settings": settings, "asked": asked},
        trainer=options.trainer, versions=options.versions, side_files=options.side_files,
        latest=options.save.last, retention=options.retention,
        probe=options.probe, background=options.save.background,
        when_busy=options.save.when_busy, generators=options.generators,
    )  # fmt: skip
    _require_savable(recipe)
    for name, value in state.items():
        _require_refillable(name, value)
    return recipe


def _require_savable(recipe: Recipe) -> None:
    """Refuse now what the first save would refuse an epoch later; no tensor is copied."""
    check_sections(recipe.state)
    check_versions(recipe.versions, dict.fromkeys((*recipe.state, *OWN)), recipe.trainer)
    state = {name: value for name, value in recipe.state.items() if value is not None}
    try:
        capture_state({**state, "config": recipe.config})
    except CkptkitError:
        raise
    except Exception:  # noqa: BLE001  a state_dict that cannot be given yet: a save asks again
        return


def _require_refillable(name: str, value: Any) -> None:
    """Refuse what could be saved, but not be brought up to date where it is by a resume."""
    refillable = value is None or isinstance(value, (Mapping, list)) or is_array(value)
    if refillable or kind_of(value) != "tree":
        return
    raise UnrepresentableError(
        f"state/{name}", f"a {type(value).__name__}, which no resume could change in place",
        "an object with a state_dict, a dict, a list or a tensor",
        f'put it in a dict that the script uses: "{name}s": {{"{name}": {value!r:.40}}}',
    )  # fmt: skip
