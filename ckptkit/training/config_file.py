"""Settings from a file: JSON, TOML, and YAML where PyYAML is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ckptkit.errors import AccessDeniedError, MissingExtraError, NotFoundError, SettingError
from ckptkit.training.build import Layer

_MAX_NBYTES = 1 << 20  # a page of settings has some thousand


def read_settings(path: Path) -> Layer:
    """Read the settings that a file names, whatever they are.

    Raises: NotFoundError, AccessDeniedError, SettingError; MissingExtraError for YAML.
    """
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise SettingError(
            path, "is no file of settings by its name", "a .json, .toml or .yaml", ""
        )
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_NBYTES + 1)
    except FileNotFoundError as exc:
        raise NotFoundError(path, "there is nothing at this path", "a file of settings") from exc
    except OSError as exc:
        raise AccessDeniedError(path, f"cannot be read: {exc.strerror}") from exc
    if len(data) > _MAX_NBYTES:
        raise SettingError(path, f"has more than {_MAX_NBYTES} bytes", "a file of settings", "")
    try:
        values = parse(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:  # those of json, tomllib and decoding are one
        raise SettingError(path, f"cannot be read: {exc}", path.suffix[1:].upper(), "") from exc
    if values is None:
        raise SettingError(path, "is empty", "settings by name", "")
    if not isinstance(values, Mapping):
        raise SettingError(path, f"holds a {type(values).__name__}", "settings by name", "")
    return Layer(str(path), values)


def _json(text: str) -> Any:
    import json

    return json.loads(text, object_pairs_hook=_each_once) if text.strip() else None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping, in which the last of two would silently win. Raises: ValueError for two."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is said more than once")
    return values


def _toml(text: str) -> Any:
    import tomllib

    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    from importlib import import_module

    try:
        yaml: Any = import_module("yaml")
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            "PyYAML", "is not installed, and a .yaml is read by it", "",
            "pip install pyyaml, or write the settings as .toml or .json",
        ) from exc  # fmt: skip
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if isinstance(root, yaml.MappingNode):
            _each_once([(key.value, None) for key, _ in root.value if key.id == "scalar"])
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ValueError(" ".join(str(exc).split())) from exc


_PARSERS: dict[str, Callable[[str], Any]] = {
    ".json": _json, ".toml": _toml, ".yaml": _yaml, ".yml": _yaml,
}  # fmt: skip
