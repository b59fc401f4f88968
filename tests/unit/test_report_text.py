"""What a person reads of a restore: one page, the verdict first, nothing rounded away."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest

from ckptkit.report.text import percent_text, report_text
from ckptkit.report.values import KINDS, Line, Setting
from ckptkit.types import Coverage
from tests.unit.reports import component, disaster, good, report

NASTY = "\x1b[2J\u202e\u200b\ud800\x9b31m\r\n\x07"


def test_a_disaster_of_three_thousand_names_is_one_page():
    text = str(disaster())
    lines = text.split("\n")
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert lines[0] == "refused: nothing was changed"
    assert "12 of 3,000 parameters (0.4%), 3.10 MB of 497 MB" in lines[2]
    assert "model: 420 mismatched, 1,720 missing, 420 unexpected, 420 proposed" in text
    assert "layers.{0..59}.new.attn.q_proj.weight  float32 [1024, 1024]" in text
    assert "[768, 768] in the file, [1024, 1024] in the model" in text


def test_what_is_not_shown_is_counted():
    rows = str(disaster()).split("\n  missing ")[1].split("\n  unexpected ")[0].split("\n")
    shown = [int(row.split()[0]) for row in rows[:-1]]
    more = int(rows[-1].split()[1].replace(",", ""))
    assert rows[-1].split()[2:4] == ["more", "in"]
    assert sum(shown) + more == 1720


def test_the_argument_that_applies_the_likely_renames_is_given_as_it_is_typed():
    text = str(disaster())
    assert "apply_proposals=True" in text
    rule = text.split("by rule: rename=")[1].split("\n", maxsplit=1)[0]
    assert eval(rule) == [("^transformer\\.h\\.(\\d+)\\.ln_1\\.", "layers.\\1.ln.")]


def test_a_good_restore_is_short():
    lines = str(good()).split("\n")
    assert lines[0] == "restored"
    assert lines[2].split() == [
        "model",
        "restored",
        "148",
        "of",
        "148",
        "parameters,",
        "497",
        "MB",
        "of",
        "497",
        "MB",
    ]
    assert len(lines) == 7


@pytest.mark.parametrize(
    ("planned", "status", "faults", "first"),
    [
        (False, "restored", (), "restored"),
        (True, "restored", (), "would restore"),
        (False, "partly", (), "restored in part, as allowed"),
        (True, "partly", (), "would restore in part, as allowed"),
        (False, "refused", ("why",), "refused: nothing was changed"),
        (True, "refused", ("why",), "would be refused"),
        (True, "fresh", (), "nothing to restore"),
    ],
)
def test_the_verdict_comes_first(planned, status, faults, first):
    text = str(report(component(status=status, faults=faults), planned=planned))
    assert text.split("\n", maxsplit=1)[0] == first


def test_a_report_of_nothing_and_one_of_one_name():
    assert str(report()).split("\n")[0] == "nothing was restored"
    line = Line("missing", "head.weight", "", "float32 [10, 64]")
    text = str(report(component(status="refused", lines=(line,), faults=("it is missing",))))
    assert "model: 1 missing" in text
    assert "head.weight  float32 [10, 64]" in text


def test_nothing_from_a_file_reaches_the_terminal():
    lines = tuple(Line(kind, NASTY + kind, NASTY, NASTY) for kind in KINDS)
    setting = Setting(NASTY, NASTY, NASTY, NASTY.encode("utf-8", "replace"), [NASTY])
    hostile = component(NASTY, kind=NASTY, status=NASTY, source=NASTY + "x", lines=lines,
                        settings=(setting,), faults=(NASTY,), notes=(NASTY,))  # fmt: skip
    text = str(report(hostile, path=NASTY, dialect=NASTY, mode=NASTY, migrated=(NASTY,),
                      left=((NASTY, NASTY),), notes=(NASTY,)))  # fmt: skip
    acted = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n"]
    assert acted == []
    assert "\\x1b" in text


def test_wide_letters_count_as_two_cells():
    lines = tuple(Line("missing", "層" * 70 + str(i), "", "[7]") for i in (1, 3))
    told = str(report(component(status="refused", lines=lines, faults=("ü" * 300,))))
    for line in told.split("\n"):
        width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)
        assert width <= 100, line


def test_many_components_share_a_line_and_the_bad_ones_do_not():
    fine = [component(f"part{i}") for i in range(30)]
    bad = component("worst", status="refused", faults=("it does not fit",))
    lines = str(report(*fine, bad)).split("\n")
    assert any(line.split() == ["worst", "refused"] for line in lines)
    assert any("26 more: 26 restored" in line for line in lines)
    assert len(lines) <= 40


def test_forty_refused_components_are_one_page_too():
    bad = [component(f"p{i}", status="refused", faults=("no",) * 9, notes=("n",) * 9,
                     lines=tuple(Line(kind, f"{kind}.w{i}") for kind in KINDS)) for i in range(40)]  # fmt: skip
    lines = str(report(*bad)).split("\n")
    assert len(lines) <= 55  # the counts of what is shown are never left out
    assert any(line.startswith("and 34 more components: 34 mismatched") for line in lines)


def test_a_longer_page_on_request_shows_more():
    short, long = report_text(disaster()), report_text(disaster(), max_lines=500)
    assert len(long.split("\n")) > len(short.split("\n"))
    assert long.count("odd_") > short.count("odd_")


def test_settings_are_shown_with_what_was_asked_saved_and_used():
    values = Setting("optimizer, group 0", "lr", float("nan"), 0.1, 10**5000)
    text = str(report(component("optimizer", kind="optimizer", settings=(values,))))
    assert "asked" in text
    assert "nan" in text
    assert "0.1" in text


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 3000, "0%"), (1, 30000, "<0.1%"), (12, 3000, "0.4%"), (2999, 3000, "99.9%"),
     (1, 2, "50%"), (99, 100, "99%"), (100, 100, "100%")],
)  # fmt: skip
def test_a_share_is_never_rounded_to_all_or_nothing(part, whole, said):
    assert percent_text(part, whole) == said


def test_the_coverage_of_plain_data_is_counted_in_tensors():
    text = str(report(component("extra", kind="tree", coverage=Coverage(1, 2, 4, 8))))
    assert "1 of 2 tensors (50%), 4 B of 8 B" in text


def sentence(n_words):
    return " ".join(f"word{number}" for number in range(n_words))


def test_sentences_are_folded_whole_where_the_page_has_room():
    said = [sentence(60) + f" of {what}" for what in ("fault", "note", "section")]
    bad = component(status="refused", faults=(said[0],), notes=(said[1],))
    text = str(report(bad, left=(("rng", said[2]),)))
    flat = " ".join(text.split())
    assert all(one in flat for one in said)
    assert "…" not in text
    assert max(map(len, text.split("\n"))) <= 100


def test_a_path_longer_than_a_line_is_told_whole():
    path = "runs/" + "a" * 150 + "/old.pt"
    assert path in str(report(component(), path=path)).replace("\n", "")


def test_long_sentences_of_a_disaster_give_way_to_names():
    bad = disaster()
    model, *others = bad.components
    model = replace(model, faults=tuple(sentence(90) for _ in range(4)))
    lines = str(replace(bad, components=(model, *others))).split("\n")
    assert len(lines) <= 40
    assert "layers.{0..59}" in "".join(lines)


def test_the_steps_from_a_file_to_the_document_are_in_the_json_alone():
    told = report(component(), migrated=("Keys are sorted.", "head 1 to 2"), schema_steps=1)
    assert "migrated in memory: head 1 to 2" in str(told)
    assert "Keys are sorted" not in str(told)
    assert told.as_dict()["migrated"] == ["Keys are sorted.", "head 1 to 2"]
    assert "migrated" not in str(report(component(), migrated=("Keys.",), schema_steps=1))
