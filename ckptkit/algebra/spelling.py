"""Operations as the code that makes them, for messages and for written migrators."""

from __future__ import annotations

from typing import Any


def quoted(text: str) -> str:
    r"""Return a literal of ``text`` in double quotes, raw where that spares a backslash."""
    plain = text.isprintable() and '"' not in text
    if plain and "\\" not in text:
        return f'"{text}"'
    if plain and not text.endswith("\\"):
        return f'r"{text}"'
    inner = repr("'" + text)[2:-1]  # a quote of the other kind makes Python choose double ones
    return (
        '"' + inner.removeprefix("'").replace('"', '\\"') + '"' if "'" not in text else repr(text)
    )


def spelled_value(value: Any) -> str:
    """Return a literal of a field's value."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, tuple):
        inner = ", ".join(map(spelled_value, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, dict):
        pairs = (f"{spelled_value(key)}: {spelled_value(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return repr(value)


def spelled_call(name: str, positional: list[tuple[str, Any, Any]], named: dict[str, Any]) -> str:
    """Return ``name(...)``; ``positional`` are (name, value, default), defaults are left out."""
    arguments, skipped = [], False
    for field, value, default in positional:
        if value == default:
            skipped = True
        else:
            arguments.append(f"{field}={spelled_value(value)}" if skipped else spelled_value(value))
    arguments += [f"{field}={value!r}" for field, value in named.items()]
    return f"{name}({', '.join(arguments)})"
