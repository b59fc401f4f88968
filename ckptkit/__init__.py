"""ckptkit: open, check, migrate and seal PyTorch checkpoints; nothing read from one is ever run.

The names are loaded on first use, so that ``import ckptkit`` costs nothing and needs no torch.
"""

from typing import TYPE_CHECKING, Any

from ckptkit.version import __version__ as __version__

if TYPE_CHECKING:
    from ckptkit.errors import CkptkitError
    from ckptkit.report.values import LoadReport
    from ckptkit.run.policy import SavePolicy
    from ckptkit.run.retention import KeepAll, KeepBest, KeepEvery, KeepLast, KeepSpans, Retention
    from ckptkit.run.run import Run
    from ckptkit.run.trackers import TensorBoard
    from ckptkit.run.view import RunView, open_run
    from ckptkit.training.handle import TrainerHandle, trainer
    from ckptkit.types import Limits
    from ckptkit.verbs.autogenerate import autogenerate
    from ckptkit.verbs.diff import DiffOptions, diff
    from ckptkit.verbs.evolving.asked import Versions
    from ckptkit.verbs.export import ExportOptions, export
    from ckptkit.verbs.factory import Factory
    from ckptkit.verbs.inspect import inspect
    from ckptkit.verbs.lazy_tensor import LazyTensor
    from ckptkit.verbs.listing import list_checkpoints
    from ckptkit.verbs.migrate import MigrateOptions, migrate
    from ckptkit.verbs.migrate_tree import migrate_tree
    from ckptkit.verbs.migrators import migrators_in
    from ckptkit.verbs.open import Checkpoint, load
    from ckptkit.verbs.recover import RecoverOptions, recover
    from ckptkit.verbs.restore import plan_restore, restore
    from ckptkit.verbs.save import save
    from ckptkit.verbs.saving.report import SaveReport
    from ckptkit.verbs.scan import scan
    from ckptkit.verbs.verify import verify

__all__ = [
    "Checkpoint",
    "CkptkitError",
    "DiffOptions",
    "ExportOptions",
    "Factory",
    "KeepAll",
    "KeepBest",
    "KeepEvery",
    "KeepLast",
    "KeepSpans",
    "LazyTensor",
    "Limits",
    "LoadReport",
    "MigrateOptions",
    "RecoverOptions",
    "Retention",
    "Run",
    "RunView",
    "SavePolicy",
    "SaveReport",
    "TensorBoard",
    "TrainerHandle",
    "Versions",
    "autogenerate",
    "diff",
    "export",
    "inspect",
    "list_checkpoints",
    "load",
    "migrate",
    "migrate_tree",
    "migrators_in",
    "open_run",
    "plan_restore",
    "recover",
    "restore",
    "save",
    "scan",
    "trainer",
    "verify",
]

_HOMES = {
    "Checkpoint": "ckptkit.verbs.open",
    "CkptkitError": "ckptkit.errors",
    "DiffOptions": "ckptkit.verbs.diff",
    "ExportOptions": "ckptkit.verbs.export",
    "Factory": "ckptkit.verbs.factory",
    "KeepAll": "ckptkit.run.retention",
    "KeepBest": "ckptkit.run.retention",
    "KeepEvery": "ckptkit.run.retention",
    "KeepLast": "ckptkit.run.retention",
    "KeepSpans": "ckptkit.run.retention",
    "LazyTensor": "ckptkit.verbs.lazy_tensor",
    "Limits": "ckptkit.types",
    "LoadReport": "ckptkit.report.values",
    "MigrateOptions": "ckptkit.verbs.migrate",
    "RecoverOptions": "ckptkit.verbs.recover",
    "Retention": "ckptkit.run.retention",
    "Run": "ckptkit.run.run",
    "RunView": "ckptkit.run.view",
    "SavePolicy": "ckptkit.run.policy",
    "SaveReport": "ckptkit.verbs.saving.report",
    "TensorBoard": "ckptkit.run.trackers",
    "TrainerHandle": "ckptkit.training.handle",
    "Versions": "ckptkit.verbs.evolving.asked",
    "autogenerate": "ckptkit.verbs.autogenerate",
    "diff": "ckptkit.verbs.diff",
    "export": "ckptkit.verbs.export",
    "inspect": "ckptkit.verbs.inspect",
    "list_checkpoints": "ckptkit.verbs.listing",
    "load": "ckptkit.verbs.open",
    "migrate": "ckptkit.verbs.migrate",
    "migrate_tree": "ckptkit.verbs.migrate_tree",
    "migrators_in": "ckptkit.verbs.migrators",
    "open_run": "ckptkit.run.view",
    "plan_restore": "ckptkit.verbs.restore",
    "recover": "ckptkit.verbs.recover",
    "restore": "ckptkit.verbs.restore",
    "save": "ckptkit.verbs.save",
    "scan": "ckptkit.verbs.scan",
    "trainer": "ckptkit.training.handle",
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
