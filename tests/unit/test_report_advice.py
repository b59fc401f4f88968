"""What a report says to do would do it: globs cover, rules rename, options parse."""

from __future__ import annotations

import fnmatch
import re
import shlex

import pytest

from ckptkit.report.advice import advise, globs_of
from ckptkit.report.renaming import rename_rules
from ckptkit.report.values import ComponentReport, Line, Setting
from ckptkit.types import Coverage
from tests.unit.reports import component, disaster, report

HALF = Coverage(1, 2, 1, 2)


def advice_on(*lines, **fields):
    given = {"status": "refused", "faults": ("no",), "coverage": HALF} | fields
    return advise(report(component(lines=tuple(lines), **given)))


@pytest.mark.parametrize(
    ("pairs", "rules"),
    [
        ([("h.0.w", "blocks.0.w"), ("h.1.w", "blocks.1.w")], [(r"^h\.", "blocks.")]),
        ([("model.a.w", "a.w")], [(r"^model\.", "")]),
        ([("l.0.attn.q.w", "l.0.attn.query.w"), ("l.7.attn.q.w", "l.7.attn.query.w")],
         [(r"^l\.(\d+)\.attn\.q\.", r"l.\1.attn.query.")]),
        ([("a.1", "b.2")], [(r"^a\.1$", "b.2")]),
        ([("x1.w", "y12.w")], [(r"^x1\.", "y12.")]),
        ([("a[0].w", "b.w")], [(r"^a\[0\]\.", "b.")]),
        ([("w", "body.w")], [("^w$", "body.w")]),
    ],
)  # fmt: skip
def test_renames_of_one_form_become_one_rule(pairs, rules):
    assert rename_rules(pairs) == tuple(rules)


def test_no_rule_is_given_where_few_do_not_do_it():
    assert rename_rules([(f"a{c}.w", f"b{c}.w") for c in "pqrst"]) == ()
    assert rename_rules([("a.w", "b.w"), ("b.w", "a.w")]) == ()  # one would undo the other
    assert rename_rules([]) == ()


@pytest.mark.parametrize(
    ("names", "globs"),
    [
        (["head.weight"], ("head.weight",)),
        (["l.0.w", "l.1.w", "l.2.w"], ("l.*.w",)),
        (["head.weight", "head.bias"], ("head.bias", "head.weight")),
        ([f"d.x.{n}" for n in "abcde"], ("d.x.*",)),
        ([f"{n}.w" for n in "abcde"], ("*",)),
        (["odd[0].w", "odd[1].w"], ("*.w",)),
        (
            [f"l.{i}.attn.{p}.{e}" for i in range(3) for p in "qkv" for e in ("weight", "bias")],
            ("l.*.attn.k.*", "l.*.attn.q.*", "l.*.attn.v.*"),
        ),
        (
            [f"l.{i}.{p}.{e}" for i in range(3) for p in "abcde" for e in ("weight", "bias")],
            ("l.*",),
        ),
        ([f"x{a}.{i}.{b}" for i in range(3) for a in "pq" for b in "abcd"], ("xp.*", "xq.*")),
    ],
)
def test_globs_are_narrow_and_cover_every_name(names, globs):
    assert globs_of(names) == globs
    assert all(any(fnmatch.fnmatchcase(name, glob) for glob in globs) for name in names)


def test_each_complaint_has_its_argument_and_its_option():
    told = advice_on(Line("mismatched", "a"), Line("missing", "b c"), Line("unexpected", "d"))
    assert [one.argument for one in told] == [
        'on_shape="skip"', "allow_missing=['b c']", "allow_unexpected=['d']"]  # fmt: skip
    assert [shlex.split(one.option) for one in told] == [
        ["--on-shape", "skip"], ["--allow-missing", "b c"], ["--allow-unexpected", "d"]]  # fmt: skip


def test_who_fits_not_at_all_is_asked_whether_it_is_the_right_file():
    told = advice_on(Line("missing", "a"), coverage=Coverage(0, 9, 0, 9))
    assert len(told) == 1
    assert "is it the checkpoint of this model?" in told[0].why
    assert not told[0].argument


def test_where_only_averaged_weights_are_stored_they_are_proposed():
    absent = component(status="absent", faults=("no raw weights",))
    assert [one.option for one in advise(report(absent, left=(("ema", ""),)))] == ["--use ema"]
    assert "leave 'model' out" in advise(report(absent))[0].why
    assert advise(report(absent))[0].argument == "allow_missing=('model',)"


def test_a_floor_is_not_advised_where_too_little_was_no_fault():
    told = advice_on(Line("skipped", "a"), faults=("1 tensor has no memory",))
    assert told == ()


def test_a_choice_of_settings_is_not_advised_where_they_were_no_fault():
    setting = Setting("optimizer, group 0", "lr", 0.1, 0.2, 0.2)
    given = {"name": "optimizer", "kind": "optimizer", "status": "refused", "settings": (setting,)}
    other = ComponentReport(**given, faults=("of another kind of optimizer than SGD",))
    assert advise(report(other)) == ()
    clash = ComponentReport(**given, faults=('lr is 1 here, and on_conflict="error"',))
    assert [one.option for one in advise(report(clash))] == ["--on-conflict checkpoint"]


def test_too_little_of_what_is_allowed_names_the_floor():
    little = ("only 1 of 3 tensors would be filled, where min_coverage asks for 50.0%",)
    told = advice_on(Line("allowed", "a"), coverage=Coverage(1, 3, 1, 3), faults=little)
    assert told[0].option == "--min-coverage 0.33"


def test_a_rule_with_an_equals_sign_is_no_option():
    told = advise(report(component(lines=(Line("proposed", "b.w", "a=1.w"),))))
    assert told[1].argument == r"rename=[(r'^a=1\.', 'b.')]"
    assert told[1].option == ""


def test_what_cannot_be_typed_is_not_given_as_an_option():
    told = advice_on(Line("missing", "a\x1b"))
    assert told[0].option == ""
    assert told[0].argument.isprintable()


def test_a_good_report_needs_nothing():
    assert advise(report(component())) == ()


def test_the_rules_of_a_disaster_do_all_its_renames():
    told = advise(disaster())
    rules = eval(told[1].argument.removeprefix("rename="))
    for line in disaster().components[0].lines:
        if line.kind == "proposed":
            name = line.source
            for old, new in rules:
                name = re.sub(old, new, name)
            assert name == line.name
