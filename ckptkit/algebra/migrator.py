"""Making a migrator of a function: its docstring is the title."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import cleandoc, signature
from typing import Any

from ckptkit.algebra.custom import Custom
from ckptkit.algebra.operation import Operation
from ckptkit.errors import MigrationError
from ckptkit.protocols import SectionMigrator

Written = Callable[..., Any]


def migrator(
    trainer: str, section: str, start: int, stop: int, *, backward: Written | None = None
) -> Callable[[Written], SectionMigrator]:
    """Make a function the migrator of a trainer's section from one version to the next.

    A function without parameters returns the operations. A function of one parameter is one
    itself: it takes the state and returns the new one, and ``backward`` takes it back.
    """

    def made(function: Written) -> SectionMigrator:
        said = function.__doc__ or function.__name__.replace("_", " ")
        title = cleandoc(said).partition("\n")[0].rstrip(".")
        operations: Sequence[Operation]
        if signature(function).parameters:
            operations = (Custom(function, backward),)
        elif backward is not None:
            raise MigrationError(
                f"migrator {function.__name__}", "returns operations and has a way back beside",
                "one of both: operations know their own",
            )  # fmt: skip
        else:
            operations = tuple(function())
        return SectionMigrator(
            trainer=trainer, section=section, start=start, stop=stop,
            title=title.replace("``", "'"), operations=tuple(operations),
        )  # fmt: skip

    return made
