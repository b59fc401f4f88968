"""What a trainer names as "module:name", imported when it is needed."""

from __future__ import annotations

import dataclasses
from typing import Any

from ckptkit.errors import CkptkitError, MissingExtraError, TrainerError
from ckptkit.protocols import Trainer
from ckptkit.training.find import install_advice
from ckptkit.training.interrupts import signals_noted
from ckptkit.verbs.user_fault import user_fault


def named(trainer: Trainer, spec: str, what: str) -> Any:
    """Return the object that ``spec`` names. ``what`` is the trainer's field that named it.

    Only a plugin's own words come here, never those of a file.
    Raises: TrainerError; MissingExtraError where the module misses a library.
    """
    where = f"trainer {trainer.name}, {what} {spec}"
    module_name, _, attributes = spec.partition(":")
    if not module_name or not attributes:
        raise TrainerError(where, "is no name", '"module:name"', _TELL)
    found = _module(trainer, module_name, where)
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as exc:
            raise TrainerError(where, f"there is no {attribute!r} in it", "", _TELL) from exc
    return found


_TELL = "this is a defect of the plugin that offers the trainer"


def _module(trainer: Trainer, name: str, where: str) -> Any:
    try:
        return _imported(name)
    except CkptkitError:
        raise
    except ModuleNotFoundError as exc:
        missing = exc.name or ""
        if f"{name}.".startswith(f"{missing}."):
            raise TrainerError(where, f"there is no module {missing!r}", "", _TELL) from exc
        raise MissingExtraError(
            f"trainer {trainer.name}", f"needs {missing}, and that is not installed", "",
            install_advice(trainer, [missing]),
        ) from exc  # fmt: skip
    except Exception as exc:
        raise TrainerError(where, f"importing it failed: {user_fault(exc)}", "", _TELL) from exc


def _imported(name: str) -> Any:
    """Import a module. Raises: what it raises; for a signal that came meanwhile what that raises.

    Numpy makes an ImportError of a Ctrl+C, and who can do without a library passes over that.
    """
    from importlib import import_module

    with signals_noted() as noted:
        try:
            found = import_module(name)
        except Exception:
            if not noted:
                raise
    if noted:
        raise noted[0]
    return found


def settings_class(trainer: Trainer, spec: str, what: str) -> Any:
    """Return a dataclass of settings. Raises: as ``named``."""
    found = named(trainer, spec, what)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise TrainerError(
            f"trainer {trainer.name}, {what} {spec}", f"is a {type(found).__name__}",
            "a dataclass", _TELL,
        )  # fmt: skip
    return found
