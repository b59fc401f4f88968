"""Our own containers and dialects, offered through the same hooks as anybody's.

The modules are imported inside the hook functions: a process that never opens a file never
pays for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from ckptkit.hooks.specs import hookimpl
from ckptkit.protocols import Container, Dialect


def _parts(package: str, modules: Iterable[str], mark: str) -> list[Any]:
    found = []
    for name in modules:
        try:
            module = import_module(f"{package}.{name}")
        except ImportError:
            continue
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and value.__module__ == module.__name__
                and hasattr(value, mark)
                and hasattr(value, "title")
            ):
                found.append(value())
    return found


@hookimpl
def ckptkit_containers() -> Iterable[Container]:
    """Offer every container of this package."""
    return _parts(
        "ckptkit.containers",
        [
            "torch_zip",
            "torch_legacy",
            "torch_tar",
            "torchscript",
            "bare_pickle",
            "safetensors",
            "sharded",
            "hf_folder",
            "dcp_folder",
            "v2_folder",
            "foreign",
        ],
        "matches",
    )


@hookimpl
def ckptkit_dialects() -> Iterable[Dialect]:
    """Offer every dialect of this package."""
    import pkgutil

    package = import_module("ckptkit.dialects")
    return _parts(
        "ckptkit.dialects", [m.name for m in pkgutil.iter_modules(package.__path__)], "recognise"
    )
