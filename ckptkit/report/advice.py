"""What to do about a report: the argument of ``restore``, or the option of ``check``. Pure."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ckptkit.report.collapse import collapse
from ckptkit.report.renaming import rename_rules
from ckptkit.report.values import ComponentReport, LoadReport

_MAX_GLOBS = 3
_LEAST_FRACTION = 0.1  # of less no lenience makes a model
_WHY_NAMES = {
    ("missing", False): "to begin with these as the model has them",
    ("missing", True): "to let these begin fresh",
    ("unexpected", False): "to leave these in the file",
    ("unexpected", True): "to leave these in the file",
}
_MEANT = re.compile(r"did you mean '([^']+)'\?")
_BAD = ("mismatched", "missing", "unexpected", "ambiguous")


class Advice(NamedTuple):
    """One thing that would help. ``argument`` is Python, ``option`` a word of a command line.

    Both are printable; where a name is not, or where there is no such thing, they are "".
    """

    why: str
    argument: str = ""
    option: str = ""


def advise(report: LoadReport) -> tuple[Advice, ...]:
    """Say what would make a refused report succeed, and what a good one left on the table."""
    told: list[Advice] = [*_renames(report)]
    for component in report.components:
        if component.faults and component.status == "absent" and _has_average(report, component):
            told.append(Advice("to take the averaged weights", 'use="ema"', "--use ema"))
        elif component.faults:
            told += _of_component(component, has_proposals=bool(told))
    return tuple(dict.fromkeys(told))


def _has_average(report: LoadReport, component: ComponentReport) -> bool:
    """Whether the raw weights are absent, and the averaged ones are there."""
    if any(_MEANT.search(fault) for fault in component.faults):
        return False  # it is the name that is wrong
    return component.kind == "module" and any(section == "ema" for section, _ in report.left)


def _renames(report: LoadReport) -> Iterator[Advice]:
    pairs = [
        (line.source, line.name)
        for component in report.components
        for line in component.lines
        if line.kind == "proposed"
    ]
    if not pairs:
        return
    it, them = ("a likely rename was", "it") if len(pairs) == 1 else ("likely renames were", "them")
    yield Advice(
        f"{it} found but not applied; to apply {them}", "apply_proposals=True", "--apply-renames"
    )
    rules = rename_rules(pairs)
    if rules:
        options = [_option("--rename", f"{old}={new}") for old, new in rules if "=" not in old]
        yield Advice(
            f"or, to apply {them} by rule",
            f"rename=[{', '.join(map(_spelled, rules))}]",
            " ".join(options) if len(options) == len(rules) and all(options) else "",
        )


def _absent(component: ComponentReport) -> Iterator[Advice]:
    """What to do where the checkpoint has nothing for a target."""
    name = component.name
    told = " ".join(component.faults)
    if 'use="ema"' in told:
        yield Advice("to take the raw weights", 'use="raw"', "--use raw")
        return
    meant = _MEANT.search(told)
    if meant:
        yield Advice(
            "to restore from the section that was probably meant",
            f"{{{meant[1]!r}: ...}} as targets",
            _option("--section", meant[1]) if component.kind == "module" else "",
        )
        return
    yield Advice(
        f"leave {name!r} out of the targets, or let it stay as it is",
        f"allow_missing=({name!r},)",
        _option("--allow-missing", name),
    )


def _of_component(component: ComponentReport, *, has_proposals: bool) -> Iterator[Advice]:
    if component.status == "absent":
        yield from _absent(component)
        return
    likely = {n for p in component.lines if p.kind == "proposed" for n in (p.name, p.source)}
    names: dict[str, list[str]] = {kind: [] for kind in _BAD}
    for line in component.lines:
        if line.kind in names and line.name not in likely:
            names[line.kind].append(line.name)
    filled = component.coverage
    if filled.fraction < _LEAST_FRACTION:
        if not has_proposals and component.kind != "optimizer":  # whose faults say what to do
            said = "hardly anything" if filled.tensors else "nothing"
            yield Advice(
                f"{said} of it fits: is it the checkpoint of this model? "
                "`ckptkit inspect --tensors` shows its names"
            )
        return
    yield from _lenient(component, names)
    is_little = any("min_coverage" in fault for fault in component.faults)
    if is_little and not any(names.values()) and not likely:
        floor = f"{math.floor(filled.fraction * 100) / 100:g}"
        yield Advice(
            "to load as little as this", f"min_coverage={floor}", f"--min-coverage {floor}"
        )


def _lenient(component: ComponentReport, names: dict[str, list[str]]) -> Iterator[Advice]:
    if names["ambiguous"]:
        first = names["ambiguous"][0]
        yield Advice(
            "where several could be meant, say which", f"rename={{'stored name': {first!r}}}"
        )
    if names["mismatched"]:
        yield Advice(
            'to leave what has another shape as it is ("slice" copies the common corner)',
            'on_shape="skip"',
            "--on-shape skip",
        )
    for kind, argument in (("missing", "allow_missing"), ("unexpected", "allow_unexpected")):
        if names[kind]:
            globs = globs_of(names[kind])
            if component.kind == "optimizer":  # the same names in the model stay asked for
                globs = tuple(f"{component.name}/{glob}" for glob in globs)
            options = [_option("--" + argument.replace("_", "-"), glob) for glob in globs]
            yield Advice(
                _WHY_NAMES[kind, component.kind == "optimizer"],
                f"{argument}={list(globs)!r}",
                " ".join(options) if all(options) else "",
            )
    if any("on_conflict" in fault for fault in component.faults):
        yield Advice(
            'to use what was saved ("current" keeps what the live object has)',
            'on_conflict="checkpoint"',
            "--on-conflict checkpoint",
        )


def globs_of(names: Sequence[str]) -> tuple[str, ...]:
    """At most three globs that cover all names, as narrow as so few can be."""
    groups = [[names[i] for i in group.members] for group in collapse(names)]
    narrow = {_glob(some) for some in groups}
    layers = {_any_end(glob) for glob in narrow}
    by_form: dict[tuple[str, int], list[str]] = {}
    for name in names:
        by_form.setdefault((name.partition(".")[0], name.count(".")), []).append(name)
    forms = {_glob(some) for some in by_form.values()}
    heads = {glob.partition(".")[0] + ("*" if "." not in glob else ".*") for glob in forms}
    for globs in (narrow, layers, forms, heads):  # each wider than the one before
        needed = {one for one in globs if not any(_covers(other, one) for other in globs - {one})}
        if len(needed) <= _MAX_GLOBS:
            return tuple(sorted(needed))
    return ("*",)


def _covers(wide: str, narrow: str) -> bool:
    """Whether all that one glob takes the other takes, too."""
    return wide.endswith("*") and narrow.startswith(wide[:-1])


def _any_end(glob: str) -> str:
    """The same with any last step: weight and bias, exp_avg and exp_avg_sq."""
    return _shortest(glob.rpartition(".")[0] + ".*") if "." in glob else glob


def _glob(names: Sequence[str]) -> str:
    """The steps that all names share, and ``*`` for those in which they differ."""
    steps = zip(*(name.split(".") for name in names), strict=True)
    glob = ".".join(_escaped(step[0]) if len({*step}) == 1 else "*" for step in steps)
    return _shortest(glob)


def _shortest(glob: str) -> str:
    while glob.endswith(".*.*"):  # a star crosses dots
        glob = glob[:-2]
    return glob


def _escaped(text: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)


def _spelled(rule: tuple[str, str]) -> str:
    return f"({_quoted(rule[0])}, {_quoted(rule[1])})"


def _quoted(text: str) -> str:
    """A Python literal; a raw one where that is easier to read."""
    is_raw = "\\" in text and "'" not in text and text.isprintable() and text[-1] != "\\"
    return f"r'{text}'" if is_raw else repr(text)


def _option(name: str, value: str) -> str:
    return f"{name} {shlex.quote(value)}" if value.isprintable() else ""
