"""The report of a restore or of its dry run: what was done to every name of every component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ckptkit.types import NOT_COVERED, Coverage

#: What can be said of a name, worst first: the order in which a report shows them.
KINDS = (
    "mismatched",  # shapes differ and the policy allows nothing
    "missing",  # wanted, and nothing fills it
    "unexpected",  # stored, and nothing takes it
    "ambiguous",  # several could be meant
    "proposed",  # a likely rename that was not applied
    "skipped",  # shapes differ, left as it was, as allowed
    "sliced",  # shapes differ, the common corner was copied, as allowed
    "resized",  # shapes differ, the caller's function made it fit
    "allowed",  # missing or unexpected, as allowed
    "fresh",  # begins without state (a new parameter of an optimizer)
    "dropped",  # stored state that nobody takes
    "overridden",  # the live value won over the stored one
    "cast",  # stored under another dtype
    "renamed",  # filled from another name (rule, parametrization, applied proposal)
    "computed",  # filled by a product of stored tensors
    "migrated",  # an operation of a migrator made it
    "defaulted",  # benign: keeps the value that the live object has
    "benign",  # stored, derivable, and left
    "tied",  # filled through the name it shares memory with
)


class Line(NamedTuple):
    """One fact about one name: the wanted one, or the stored one where none is wanted."""

    kind: str  # of KINDS
    name: str
    source: str = ""  # the stored name, where it is another
    detail: str = ""  # "[10, 64] in the file, [12, 64] in the model"
    nbytes: int = 0


class Setting(NamedTuple):
    """One hyper-parameter that differs: what was asked for, what was saved, what is used."""

    place: str  # "optimizer, group 0"
    field: str
    asked: Any
    saved: Any
    used: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentReport:
    """What happened to one live object.

    ``status``: "restored" (everything), "partly" (as the policy allowed), "fresh" (the mode leaves
    it as it is), "absent" (the checkpoint has nothing for it), "refused" (``faults`` say why).
    ``source`` is the section that filled it (``ema`` where averaged weights were asked for).
    """

    name: str
    kind: str  # "module", "optimizer", "scheduler", "scaler", "average", "stateful", "tree"
    status: str
    source: str = ""
    coverage: Coverage = NOT_COVERED
    lines: tuple[Line, ...] = ()
    settings: tuple[Setting, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What a restore did, or what it would do (``planned``). ``str()`` is for people.

    ``migrated``: titles of what was applied in memory, in order; the first ``schema_steps`` of them
    lead any file to the document and are of interest to nobody who reads a page. ``left``: sections
    of the checkpoint that nothing took, with the reason. ``error``: the kind of RestoreError that
    a refused one is raised as ("Mismatch", ...), "" if nothing was refused.
    """

    path: str
    dialect: str
    schema_version: int
    mode: str  # "resume", "warm-start", "fork"
    planned: bool = False
    components: tuple[ComponentReport, ...] = ()
    migrated: tuple[str, ...] = ()
    schema_steps: int = 0
    left: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing was refused."""
        return not any(component.faults for component in self.components)

    def component(self, name: str) -> ComponentReport:
        """Return the report of one component. Raises: KeyError."""
        for component in self.components:
            if component.name == name:
                return component
        raise KeyError(name)

    def __str__(self) -> str:
        from ckptkit.report.text import report_text  # needed only where somebody looks

        return report_text(self)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, every name of it; docs/cli.md has the fields."""
        from ckptkit.report.json_form import report_json

        return report_json(self)
