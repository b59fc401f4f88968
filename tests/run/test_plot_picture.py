"""The picture itself: what stands in it, where, and that it is written whole."""

import io
import math
import sys
from types import SimpleNamespace

import pytest

from ckptkit.errors import AccessDeniedError, MissingExtraError, NotFoundError
from ckptkit.run.curves import Wish, plan_picture
from ckptkit.run.history import Event
from ckptkit.run.plot import draw, write_picture
from ckptkit.run.plot_legends import COLOURS
from ckptkit.run.remembered import BestRow

N_ROWS = 60
EVENTS = [Event("resumed", 10, 100), Event("interrupted", 20, 200), Event("error", 30, 300)]


def view(name="a/x", **columns):
    made = {"epoch": list(range(1, N_ROWS + 1)), "step": [10 * n for n in range(1, N_ROWS + 1)]}
    made |= columns or {
        "loss": [1 / n for n in made["epoch"]],
        "val_loss": [2 / n for n in made["epoch"]],
    }
    n_rows = min(map(len, made.values()))
    made = {k: v[:n_rows] for k, v in made.items()}
    best = BestRow("val_loss", "min", 2 / N_ROWS, N_ROWS, 10 * N_ROWS)
    return SimpleNamespace(
        history=made, events=EVENTS, best=best if not columns else None, name=name
    )


def figure_of(*views, **wish):
    figure = draw(plan_picture(views, Wish(**wish)))
    figure.savefig(io.BytesIO())  # lays everything out
    return figure


def texts(legend):
    return [one.get_text() for one in legend.get_texts()]


def test_titles_axes_and_every_mark_are_named():
    figure = figure_of(view())
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "loss"
    assert axes.get_xlabel() == "epoch"
    assert figure.get_suptitle() == "a/x"
    assert texts(axes.get_legend()) == ["loss", "val_loss"]
    assert texts(figure.legends[0]) == [
        "best val_loss 0.03333, epoch 60", "resumed", "interrupted", "emergency",
    ]  # fmt: skip


def test_no_legend_lies_on_the_data():
    figure = figure_of(view(), view("b/a-rather-long-name-of-a-run-that-somebody-gave"))
    legends = [*figure.legends, *(a.get_legend() for a in figure.axes if a.get_legend())]
    assert legends
    alone = figure_of(view())
    for drawn in (figure, alone):
        boxes = [axes.get_window_extent() for axes in drawn.axes]
        legends = [*drawn.legends, *(a.get_legend() for a in drawn.axes if a.get_legend())]
        for legend in legends:
            assert not any(legend.get_window_extent().overlaps(box) for box in boxes)


def test_marks_stand_where_it_happened_each_in_a_form_of_its_own():
    (axes,) = figure_of(view()).axes
    upright = {line.get_xdata()[0]: line.get_linestyle() for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2}  # fmt: skip
    assert upright == {10: "--", 20: ":", 30: "-"}
    stars = [line for line in axes.lines if line.get_marker() == "*"]
    assert [(star.get_xdata()[0], star.get_ydata()[0]) for star in stars] == [(60, 2 / 60)]


def test_a_gap_breaks_the_line_and_a_point_between_gaps_is_seen():
    values = [1.0] * N_ROWS
    values[10], values[12] = math.nan, math.nan
    (axes,) = figure_of(view(loss=values)).axes
    (line,) = [line for line in axes.lines if len(line.get_xdata()) == N_ROWS]
    assert [n for n, y in enumerate(line.get_ydata()) if math.isnan(y)] == [10, 12]
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert [list(dot.get_xdata()) for dot in dots] == [[12]]


def test_one_epoch_is_a_picture_with_whole_numbers_below_it():
    (axes,) = figure_of(SimpleNamespace(history={"epoch": [1], "step": [8], "loss": [0.5]}, events=[], best=None, name="a")).axes  # fmt: skip
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


def test_a_logarithmic_axis_is_one_and_says_so():
    (axes,) = figure_of(view(), log=True).axes
    assert axes.get_yscale() == "log"
    assert axes.get_title(loc="left") == "loss (log)"


def test_smoothed_curves_have_the_measured_ones_behind_them():
    figure = figure_of(view(), smooth=0.8)
    assert "as measured" in texts(figure.legends[0])
    curves = [line for line in figure.axes[0].lines if len(line.get_xdata()) == N_ROWS]
    assert sorted(line.get_alpha() or 1 for line in curves) == [0.3, 0.3, 1, 1]


def test_runs_have_a_colour_each_and_are_named_once():
    figure = figure_of(view("a/x"), view("b/x"))
    assert texts(figure.legends[0])[:2] == ["a", "b"]
    colours = {line.get_color() for line in figure.axes[0].lines if len(line.get_xdata()) == N_ROWS}
    assert colours == set(COLOURS[:2])


def test_more_runs_than_colours_are_told_apart_by_dashes():
    figure = figure_of(*(view(f"run{n}/x") for n in range(len(COLOURS) + 1)))
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == N_ROWS]
    looks = {(line.get_color(), str(line._dash_pattern)) for line in lines}
    assert len(looks) == len(COLOURS) + 1


@pytest.mark.parametrize(
    ("kind", "begins"),
    [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")],
)
def test_a_picture_is_written_in_the_form_that_its_name_says_and_always_the_same(
    tmp_path, kind, begins
):
    first, second = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
    assert write_picture(first, figure_of(view())) == len(first.read_bytes())
    write_picture(second, figure_of(view()))
    assert first.read_bytes().startswith(begins)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [first.name, second.name]


def test_what_was_there_before_is_replaced(tmp_path):
    (tmp_path / "a.svg").write_text("old")
    write_picture(tmp_path / "a.svg", figure_of(view()))
    assert "val_loss" in (tmp_path / "a.svg").read_text()


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises((NotFoundError, AccessDeniedError)):
        write_picture(tmp_path / "nowhere" / "a.png", figure_of(view()))


def test_names_that_would_be_formulas_or_hidden_are_shown_as_they_are(tmp_path):
    odd = {"$x^$": [1.0, 2.0], "_hidden": [1.0, 2.0], "<b>&": [1.0, 2.0], "\x1b[2J": [1.0, 2.0]}
    write_picture(tmp_path / "a.svg", figure_of(view("$a$/_b", **odd)))
    text = (tmp_path / "a.svg").read_text()
    for shown in ("$x^$", "_hidden", "&lt;b&gt;&amp;", "?[2J", "$a$/_b"):
        assert f">{shown}<" in text or f"> {shown}<" in text, shown


def test_extremes_of_floats_are_drawn():
    huge = view(loss=[1e308, -1e308, 5e-324, 0.0])
    assert figure_of(huge).axes


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"ckptkit\[plot\]"):
        draw(plan_picture([view()]))


def test_a_notebook_is_given_a_picture_without_pyplot():
    before = {*sys.modules}
    figure = figure_of(view())
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in {*sys.modules} - before


def test_a_resume_where_it_was_interrupted_shows_both():
    both = view()
    both.events = [Event("interrupted", 20, 200), Event("resumed", 20, 200)]
    (axes,) = figure_of(both).axes
    signs = {line.get_marker(): line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [20]}  # fmt: skip
    assert set(signs) == {"D", ">"}
    assert signs["D"] != signs[">"]


LONG = "a_metric_of_a_framework/with/parts/that_go_on_and_on/and_on_and_on_and_on_and_on_and_on"


def test_long_names_neither_leave_the_picture_nor_crush_its_axes():
    long = view("x" * 90 + "/y", **{f"train_{LONG}": [1.0, 2.0], f"val_{LONG}": [2.0, 3.0], "b": [1.0, 1.0]})  # fmt: skip
    figure = figure_of(long)
    whole, (axes, other) = figure.bbox, figure.axes[:2]
    legend, title = axes.get_legend().get_window_extent(), axes.title.get_window_extent()
    for box in (legend, axes._left_title.get_window_extent(), title):
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
    assert not legend.overlaps(axes._left_title.get_window_extent())
    assert not legend.overlaps(other._left_title.get_window_extent())
    assert axes.get_window_extent().width > 0.35 * whole.width


def test_less_than_a_decade_has_labels_without_powers():
    figure = figure_of(view(loss=[0.3 + n / 100 for n in range(50)]), log=True)
    (axes,) = figure.axes
    shown = [one.get_text() for one in axes.get_yticklabels(which="both") if one.get_text()]
    assert len(shown) >= 3
    assert all(float(one) > 0 for one in shown)


def test_letters_that_no_font_has_bring_no_warning():
    odd = {"\u4e2d\u6587": [1.0, 2.0], "\u0e01": [1.0, 2.0]}
    assert draw(plan_picture([view(**odd)]))._repr_png_().startswith(b"\x89PNG")
