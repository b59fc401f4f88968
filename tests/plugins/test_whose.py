"""The tests that are skipped with a plugin are its own, and all others hold where it is left out."""

import ast
import os
import re
import subprocess
import sys

import pytest

from tests.plugins.whose import PLUGINS, ROOT, TRAINERS, left_out, plugin_of

#: Files whose tests are of no plugin, but for those that are marked.
OF_NONE = {"test_engine.py", "test_every_trainer.py", "test_folder_files.py"}
#: Every use of the mark, and what it is given: a test elsewhere that needs one plugin, or all.
MARKED = {
    "tests/docs/test_trainers.py": {
        "test_every_option_of_a_page_exists": "sorted(PAGES)",
        "test_the_options_of_the_segmentation_scripts_are_options_here": "'segmentation'",
        "test_every_option_of_the_tables_exists": "*PLUGINS",
    },
    "tests/trainers/test_engine.py": {
        "test_no_setting_below_its_least_gets_as_far_as_a_library": "sorted(PLUGINS)",
        "test_an_action_refuses_what_makes_no_sense_before_it_looks_at_its_checkpoint": "[...]",
        "test_a_picture_that_breaks_off_is_told_in_the_same_words_whoever_reads_it": "[...]",
    },
    "tests/trainers/test_every_trainer.py": {"EACH": "sorted(SMALL)"},
}
MARKS = ("pytest.mark.of_plugin", "each")
FILES = sorted(path.name for path in TRAINERS.glob("test_*.py"))


def test_each_file_of_the_trainers_is_of_one_plugin_and_each_plugin_has_some():
    of = {name: plugin_of(TRAINERS / name) for name in FILES}
    assert {name for name, plugin in of.items() if plugin is None} == OF_NONE
    assert set(of.values()) - {None} == PLUGINS


@pytest.mark.parametrize("name", sorted(set(FILES) - OF_NONE))
def test_a_file_that_is_skipped_with_a_plugin_speaks_of_its_trainer_alone(name):
    plugin, text = plugin_of(TRAINERS / name), (TRAINERS / name).read_text(encoding="utf-8")
    named = set(re.findall(r"ckptkit_trainers\.(\w+)", text)) - {"engine"}
    assert named <= {plugin}
    assert named or f'trainer = "{plugin}"' in text


def test_nothing_outside_of_the_trainers_is_skipped_by_its_place():
    outside = [path for path in (ROOT / "tests").rglob("*.py") if path.parent != TRAINERS]
    assert len(outside) > 100
    assert not [path for path in outside if plugin_of(path)]


def test_the_mark_is_used_where_this_list_says():
    found = {}
    for path in {*(ROOT / "tests").rglob("*.py")} - {ROOT / "tests/plugins/whose.py"}:
        text = path.read_text(encoding="utf-8")
        if re.search(r"of_plugin\(|\beach\(", text) and (marks := dict(marks_in(ast.parse(text)))):
            found[path.relative_to(ROOT).as_posix()] = marks
    assert found == MARKED


def marks_in(tree):
    """What is marked, and with what: a function, or the name of a value."""
    for node in tree.body:
        whose = getattr(node, "name", None) or ast.unparse(getattr(node, "targets", [node])[0])
        for part in ast.walk(node):
            if isinstance(part, ast.Call) and ast.unparse(part.func) in MARKS:
                words = [
                    "[...]" if isinstance(one, ast.List) else ast.unparse(one) for one in part.args
                ]
                yield whose, ", ".join(words)


def test_what_is_made_for_a_plugin_by_its_name_is_marked():
    bare = []
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("parametrize"):
                bare += [f"{path}:{node.lineno}" for one in node.args[1:] if names_a_plugin(one)]
    assert bare == []


def names_a_plugin(rows):
    if isinstance(rows, ast.Call) and ast.unparse(rows.func) == "each":
        return False
    return any(getattr(part, "value", None) in PLUGINS for part in ast.walk(rows)
               if isinstance(part, ast.Constant) and isinstance(part.value, str))  # fmt: skip


def test_make_blocked_leaves_out_each_entry_point_in_turn():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    names = re.search(r"^NAME \?= (.*)$", makefile, re.MULTILINE)[1].split()
    assert sorted(names) == sorted(PLUGINS)
    assert "CKPTKIT_DISABLE_PLUGINS=$$name" in makefile


def test_a_misspelt_plugin_is_no_proof_of_anything():
    assert left_out(" restoration, ") == {"restoration"}
    for told in ("restoration,difusion", "all"):
        with pytest.raises(pytest.UsageError, match="expected some of diffusion, multimodal"):
            left_out(told)


@pytest.mark.parametrize("name", sorted(PLUGINS))
def test_where_a_plugin_is_left_out_its_tests_are_skipped_and_the_others_pass(name):
    """On the pages of the trainers, which name all four: the suite as a whole is make blocked."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider",
         "tests/docs/test_trainers.py"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "CKPTKIT_DISABLE_PLUGINS": name},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    n_own = 3 if name == "segmentation" else 2  # its page, the table of all; its scripts' options
    reasons = re.findall(
        r"^SKIPPED \[(\d+)\] .*of the plugin (\w+), which", done.stdout, re.MULTILINE
    )
    assert reasons == [("1", name)] * n_own
    assert f"{len(PLUGINS) + 5 - n_own} passed" in done.stdout
