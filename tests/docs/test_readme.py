"""The README is code: its blocks run in order, in one folder, as a reader would type them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)


README = (ROOT / "README.md").read_text()


def blocks():
    return BLOCK.findall(README)


def test_every_block_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reports = []
    names = {"__name__": "readme", "print": lambda *shown: reports.append(str(shown[0]))}
    printed = ""
    for language, text in blocks():
        if language == "python":
            exec(compile(text, "README.md", "exec"), names)
            continue
        for line in text.splitlines():
            if line.startswith("$ ckptkit"):
                command = [sys.executable, "-m", *shlex.split(line[2:])]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                printed += done.stdout
    assert "epoch" in printed
    told = re.search(r"^```text\n(restored in part.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert told, "the README shows the report that its first lines print"
    assert reports[0] == told[1].strip()
    assert (tmp_path / "checkpoint_epoch_7" / "manifest.msgpack").is_file()


def test_there_is_something_to_run():
    languages = [language for language, _ in blocks()]
    assert languages.count("python") >= 2
    assert languages.count("console") >= 1


@pytest.mark.parametrize(
    "page",
    sorted(p.relative_to(ROOT).as_posix() for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]),
)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("command", ["demo", "test", "lint", "bench", "fuzz"])
def test_the_make_commands_exist(command):
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def table_rows(heading):
    """The rows of the first table after a line that holds ``heading``."""
    text = (ROOT / "README.md").read_text().partition(heading)[2]
    lines = text[text.index("\n|") + 1 :].partition("\n\n")[0].splitlines()
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_figures_stand_in_the_readme_and_keep_their_promises():
    from benchmarks import bench_inspect, bench_migrate

    limits = bench_inspect.LIMITS_S
    rows = table_rows("Seconds that a person waits")
    for name, table, as_json, promise in rows[:3]:
        assert promise == f"{limits['table']:.3f} / {limits['json']:.3f}", name
        assert float(table) <= limits["table"]
        assert float(as_json) <= limits["json"]
    assert [
        float(row[1]) <= limits[key] for row, key in zip(rows[3:5], ("10k", "100k"), strict=True)
    ] == [True, True]
    command, ratio, memory, promise = table_rows("What migrating a")[0]
    assert command == "ckptkit migrate"
    assert promise == f"{bench_migrate.RATIO_LIMIT}, {bench_migrate.MEMORY_LIMIT_NBYTES >> 20} MiB"
    assert float(ratio) <= bench_migrate.RATIO_LIMIT
    assert int(memory.removesuffix(" MiB")) << 20 <= bench_migrate.MEMORY_LIMIT_NBYTES


def test_a_ratio_over_its_promise_says_that_it_was_missed():
    rows = table_rows("What a durable, checksummed") + [
        [row[0], row[1], row[3]] for row in table_rows("What `ckptkit.restore` into")
    ]
    assert len(rows) >= 10
    for name, ratio, promise in rows:
        limit = re.match(r"[0-9.]+", promise)
        if limit:
            assert (float(ratio) > float(limit[0])) == ("missed" in promise), name
