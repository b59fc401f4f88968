"""What a picture of training curves shows: which curves, where, with which marks. Pure."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from ckptkit.errors import NotFoundError
from ckptkit.run.columns import as_float
from ckptkit.run.curve_places import Places
from ckptkit.run.history import Event
from ckptkit.run.remembered import BestRow

NO_METRICS = ("epoch", "step", "time", "time_s")
_SPLIT = re.compile(r"(?:train(?:ing)?|val(?:id(?:ation)?)?|test|eval|dev)[_/.\-]", re.IGNORECASE)


class RunLike(Protocol):
    """What a picture needs to know of a run; ``RunView`` is one."""

    history: dict[str, list[Any]]
    events: list[Event]
    best: BestRow | None

    @property
    def name(self) -> str:
        """A name of two parts with a slash between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for. ``metrics``: names or globs, () for all; ``x``: "epoch", "step" or "".

    ``smooth`` is the weight of what was before, from 0 (as measured) to below 1.
    """

    metrics: tuple[str, ...] = ()
    x: str = ""
    log: bool = False
    smooth: float = 0.0


class Curve(NamedTuple):
    """One metric of one run. NaN in ``ys`` is a gap; ``raw`` is ``ys`` before it was smoothed."""

    run: int
    metric: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    raw: tuple[float, ...]


class Mark(NamedTuple):
    """Something that happened to a run: ``kind`` is "resumed", "interrupted" or "emergency"."""

    run: int
    kind: str
    x: float
    detail: str = ""


class Star(NamedTuple):
    """Where a run was best."""

    run: int
    metric: str
    x: float
    y: float
    epoch: int


class Panel(NamedTuple):
    """One pair of axes: curves of one quantity. ``log`` only where there is anything above 0."""

    title: str
    curves: tuple[Curve, ...]
    stars: tuple[Star, ...] = ()
    log: bool = False


class Picture(NamedTuple):
    """Everything that is drawn; ``notes`` are what a person should know of it."""

    runs: tuple[str, ...]
    x: str
    panels: tuple[Panel, ...]
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()
    smooth: float = 0.0


def plan_picture(views: Sequence[RunLike], wish: Wish = Wish()) -> Picture:
    """Decide what to draw of some runs. Raises: NotFoundError if there is nothing of it."""
    names = _chosen(_metrics_of(views), wish.metrics)
    places = Places([view.history for view in views], wish.x)
    notes = _no_numbers(views, wish.metrics)
    panels = []
    for title, members in _grouped(names, several=len(views) > 1, views=views):
        curves = [
            _curve(run, view, name, places, wish)
            for name in members
            for run, view in enumerate(views)
            if name in view.history
        ]
        curves = [one for one in curves if any(map(math.isfinite, one.ys))]
        if curves:
            panels.append(_panel(title, curves, views, (places, wish), notes))
    if not panels:
        raise NotFoundError(
            " ".join(wish.metrics) or "history", "has no number that could be drawn",
            "a metric with at least one finite value", "see what was logged with --json",
        )  # fmt: skip
    marks = [mark for run, view in enumerate(views) for mark in _marks(run, view, places)]
    labels = labels_of([view.name for view in views])
    return Picture(labels, places.x, tuple(panels), tuple(marks), tuple(notes), wish.smooth)


def smoothed(ys: Sequence[float], weight: float) -> tuple[float, ...]:
    """An average in which what was before has ``weight``, corrected for its beginning.

    A gap stays a gap, and what comes behind it goes on from what was before it.
    Source: the debiased exponential average that TensorBoard shows.
    """
    if not weight:
        return tuple(ys)
    last, seen, out = 0.0, 0, []
    for y in ys:
        if not math.isfinite(y):
            out.append(math.nan)
            continue
        seen += 1
        last = weight * last + (1 - weight) * y
        out.append(last / (1 - weight**seen))
    return tuple(out)


def labels_of(names: Sequence[str]) -> tuple[str, ...]:
    """The shortest parts of names with slashes in them that tell the runs apart."""
    parts = [name.split("/") for name in names]
    for candidate in ([part[0] for part in parts], [part[-1] for part in parts], list(names)):
        if len(set(candidate)) == len(names) and (len(names) > 1 or candidate == list(names)):
            return tuple(candidate)
    return tuple(f"{name} ({number})" for number, name in enumerate(names, 1))


def best_words(star: Star) -> str:
    """How good, and when."""
    where = f", epoch {star.epoch}" if star.epoch else ""
    return f"best {star.metric} {star.y:.4g}{where}"


def _metrics_of(views: Sequence[RunLike]) -> list[str]:
    """Every column that holds a number, in the order in which they came up."""
    names = dict.fromkeys(name for view in views for name in view.history)
    return [
        name
        for name in names
        if name not in NO_METRICS
        and any(math.isfinite(as_float(v)) for view in views for v in view.history.get(name, ()))
    ]


def _no_numbers(views: Sequence[RunLike], wanted: Sequence[str]) -> list[str]:
    """What was measured and was no number: a gap in the curve, which the eye passes over."""
    found: dict[str, list[float]] = {}
    for view in views:
        for name, column in view.history.items():
            if name not in NO_METRICS:
                values = [as_float(v) for v in column if type(v) in (int, float)]
                found.setdefault(name, []).extend(values)
    lost = {name: len(values) - _n_finite(values) for name, values in found.items()}
    return [
        f"{name}: NaN or infinite {lost[name]} of {len(values)} times, a gap each"
        for name, values in found.items()
        if lost[name] and (not wanted or any(fnmatch.fnmatchcase(name, one) for one in wanted))
    ]


def _chosen(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Those that were asked for, in that order; globs match whole names."""
    if not wanted:
        return list(names)
    found: dict[str, None] = {}
    for word in wanted:
        hits = [word] if word in names else fnmatch.filter(names, word)
        if not hits:
            there = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise NotFoundError(
                f"metric {word}", "is in no history of these runs",
                f"one of: {there}" if names else "a metric: nothing was logged",
                "name one of them, or a glob such as 'val_*'",
            )  # fmt: skip
        found.update(dict.fromkeys(hits))
    return list(found)


def _grouped(
    names: Sequence[str], *, several: bool, views: Sequence[RunLike]
) -> list[tuple[str, list[str]]]:
    """Panels and their metrics: of one run train and val share a panel, of several none does.

    The panel of the watched metric comes first, a learning rate last.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        base = name if several else _SPLIT.sub("", name, count=1) or name
        groups.setdefault(base, []).append(name)
    watched = {view.best.name for view in views if view.best}

    def rank(pair: tuple[str, list[str]]) -> int:
        is_rate = pair[0] in ("lr", "lrs") or "learning_rate" in pair[0]
        return 0 if watched & set(pair[1]) else 2 if is_rate else 1

    return sorted(groups.items(), key=rank)


def _curve(run: int, view: RunLike, name: str, places: Places, wish: Wish) -> Curve:
    """What was not measured (None) is left out; what was no number (NaN) is a gap."""
    rows = zip(places.of_rows(run), view.history[name], strict=True)
    points = [(x, as_float(v)) for x, v in rows if v is not None and math.isfinite(x)]
    raw = tuple(y if math.isfinite(y) else math.nan for _, y in points)
    return Curve(run, name, tuple(x for x, _ in points), smoothed(raw, wish.smooth), raw)


def _panel(
    title: str, curves: list[Curve], views: Sequence[RunLike], asked: tuple[Places, Wish],
    notes: list[str],
) -> Panel:  # fmt: skip
    places, wish = asked
    stars = [star for one in curves if (star := _star(one, views[one.run], places))]
    if not wish.log:
        return Panel(title, tuple(curves), tuple(stars))
    above = [one._replace(ys=_positive(one.ys), raw=_positive(one.raw)) for one in curves]
    n_lost = sum(_n_finite(a.raw) - _n_finite(b.raw) for a, b in zip(curves, above, strict=True))
    if not any(_n_finite(one.ys) for one in above):
        notes.append(f"{title}: nothing is above 0, so its axis is linear")
        return Panel(title, tuple(curves), tuple(stars))
    if n_lost:
        notes.append(f"{title}: not above 0 and so not on a logarithmic axis: {n_lost}")
    return Panel(title, tuple(above), tuple(star for star in stars if star.y > 0), log=True)


def _star(curve: Curve, view: RunLike, places: Places) -> Star | None:
    """The best value, on the curve of the metric that was watched."""
    best = view.best
    if best is None or best.name != curve.metric or not (best.epoch or best.step):
        return None
    x = places.of_event(curve.run, best.epoch, best.step)
    return Star(curve.run, curve.metric, x, best.value, best.epoch)


def _marks(run: int, view: RunLike, places: Places) -> list[Mark]:
    """Every event but the bests, each place and kind once."""
    found: dict[tuple[str, float], Mark] = {}
    for event in view.events:
        if event.kind == "best":
            continue
        kind = event.kind if event.kind in ("resumed", "interrupted") else "emergency"
        x = places.of_event(run, event.epoch, event.step)
        found.setdefault((kind, x), Mark(run, kind, x, event.detail))
    return sorted(found.values(), key=lambda mark: mark.x)


def _positive(ys: Iterable[float]) -> tuple[float, ...]:
    return tuple(y if y > 0 else math.nan for y in ys)


def _n_finite(ys: Iterable[float]) -> int:
    return sum(map(math.isfinite, ys))
