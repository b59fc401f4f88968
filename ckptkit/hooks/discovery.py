"""Find the entry points of one group without importlib.metadata, which costs 15 ms to import.

An installed distribution keeps them in ``entry_points.txt`` of its ``.dist-info`` (or
``.egg-info``) folder: an INI file. A folder of ``sys.path`` is listed once; a path entry that
is no folder (a zip) is left to importlib.metadata, which knows how to look inside.
Source: PyPA specification "Entry points", section "File format".
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_INFO_SUFFIXES = (".dist-info", ".egg-info")


class EntryPoint(NamedTuple):
    """One plugin as its distribution announces it; ``value`` is ``module`` or ``module:name``."""

    name: str
    value: str
    distribution: str
    version: str


def find_entry_points(group: str, path: Sequence[str]) -> list[EntryPoint]:
    """List the entry points of ``group`` on ``path``; the first distribution of a name wins.

    A folder or file that cannot be read is passed over, as the import system does.
    """
    found: dict[str, list[EntryPoint]] = {}
    archives = []
    for folder in path:
        try:
            names = sorted(os.listdir(folder or "."))  # noqa: PTH208  Path costs more
        except NotADirectoryError:
            archives.append(folder)
            continue
        except OSError:
            continue
        for name in names:
            if name.endswith(_INFO_SUFFIXES):
                distribution, version = _identity(name)
                if distribution.lower() not in found:
                    text = _read_text(os.path.join(folder, name, "entry_points.txt"))  # noqa: PTH118
                    points = _parse_group(text, group)
                    found[distribution.lower()] = [
                        EntryPoint(key, value, distribution, version) for key, value in points
                    ]
    for point in _in_archives(group, archives):
        found.setdefault(point.distribution.lower(), []).append(point)
    return [point for points in found.values() for point in points]


def _identity(folder_name: str) -> tuple[str, str]:
    """Name and version from ``text2sign_ckptkit-1.0.dist-info``."""
    stem = folder_name.rsplit(".", 1)[0]
    distribution, _, version = stem.partition("-")
    return distribution.replace("_", "-"), version.partition("-py")[0]


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return ""


def _parse_group(text: str, group: str) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of the lines below ``[group]``."""
    if f"[{group}]" not in text:  # most distributions; the test costs nothing
        return
    inside = False
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("["):
            inside = line == f"[{group}]"
        elif inside and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            yield name.strip(), value.partition("[")[0].strip()  # extras are obsolete


def _in_archives(group: str, archives: list[str]) -> Iterator[EntryPoint]:
    if not [name for name in archives if os.path.exists(name)]:  # noqa: PTH110
        return
    from importlib.metadata import distributions

    for distribution in distributions(path=archives):
        for point in distribution.entry_points.select(group=group):
            name = distribution.metadata["Name"]
            yield EntryPoint(point.name, point.value, name, distribution.version)
