"""ckptkit: open, check, migrate and seal PyTorch checkpoints; nothing read from one is ever run.

The names are loaded on first use, so that ``import ckptkit`` costs nothing and needs no torch.
"""

from typing import TYPE_CHECKING, Any

from ckptkit.version import __version__ as __version__

if TYPE_CHECKING:
    from ckptkit.errors import CkptkitError
    from ckptkit.types import Limits
    from ckptkit.verbs.diff import DiffOptions, diff
    from ckptkit.verbs.inspect import inspect
    from ckptkit.verbs.lazy_tensor import LazyTensor
    from ckptkit.verbs.listing import list_checkpoints
    from ckptkit.verbs.migrate import MigrateOptions, migrate
    from ckptkit.verbs.migrate_tree import migrate_tree
    from ckptkit.verbs.open import Checkpoint, load
    from ckptkit.verbs.save import save
    from ckptkit.verbs.saving.report import SaveReport
    from ckptkit.verbs.scan import scan
    from ckptkit.verbs.verify import verify

__all__ = [
    "Checkpoint",
    "CkptkitError",
    "DiffOptions",
    "LazyTensor",
    "Limits",
    "MigrateOptions",
    "SaveReport",
    "diff",
    "inspect",
    "list_checkpoints",
    "load",
    "migrate",
    "migrate_tree",
    "save",
    "scan",
    "verify",
]

_HOMES = {
    "Checkpoint": "ckptkit.verbs.open",
    "CkptkitError": "ckptkit.errors",
    "DiffOptions": "ckptkit.verbs.diff",
    "LazyTensor": "ckptkit.verbs.lazy_tensor",
    "Limits": "ckptkit.types",
    "MigrateOptions": "ckptkit.verbs.migrate",
    "SaveReport": "ckptkit.verbs.saving.report",
    "diff": "ckptkit.verbs.diff",
    "inspect": "ckptkit.verbs.inspect",
    "list_checkpoints": "ckptkit.verbs.listing",
    "load": "ckptkit.verbs.open",
    "migrate": "ckptkit.verbs.migrate",
    "migrate_tree": "ckptkit.verbs.migrate_tree",
    "save": "ckptkit.verbs.save",
    "scan": "ckptkit.verbs.scan",
    "verify": "ckptkit.verbs.verify",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home, once (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ckptkit' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(__all__)
