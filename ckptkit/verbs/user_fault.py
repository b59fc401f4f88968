"""One line about an exception of somebody else's code: where it was raised, and what it says."""

from __future__ import annotations

import sys
from pathlib import Path
from traceback import extract_tb

_MAX_CHARS = 400


def user_fault(exc: BaseException) -> str:
    """Say ``train.py:12: ValueError: no such size``; the place is the last line that is theirs."""
    text = " ".join(str(exc).split())
    if isinstance(exc, SyntaxError) and exc.filename:
        text = exc.msg  # str() repeats the file and the line
    said = f"{type(exc).__name__}: {text}" if text else type(exc).__name__
    place = _place(exc)
    return f"{place}: {said[:_MAX_CHARS]}" if place else said[:_MAX_CHARS]


def _place(exc: BaseException) -> str:
    """File and line of the last frame outside of Python, its packages and ckptkit."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{exc.filename}:{exc.lineno}"
    ours = str(Path(__file__).parents[1])
    frames = [
        frame
        for frame in extract_tb(exc.__traceback__)
        if not frame.filename.startswith((ours, "<", *_libraries()))
        and "site-packages" not in frame.filename
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _libraries() -> tuple[str, ...]:
    import sysconfig

    return (sysconfig.get_paths()["stdlib"], str(Path(sys.base_prefix, "lib", "python")))
