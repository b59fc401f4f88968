"""docs/save.md is code: its blocks run in order, in one folder; its tables name what there is."""

import inspect
import re
from pathlib import Path

import ckptkit
import ckptkit.errors

PAGE = (Path(__file__).parents[2] / "docs" / "save.md").read_text()


def test_every_block_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = []
    names = {"__name__": "save_page", "print": lambda *values: shown.append(str(values[0]))}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 6
    for block in blocks:
        exec(compile(block, "docs/save.md", "exec"), names)
    assert shown[0].startswith("saved epoch_1: ")
    assert shown[-1].endswith("save under another name, or pass replace=True")
    assert ckptkit.verify(tmp_path / "epoch_1").verdict == "verified"


def test_every_option_and_error_of_the_page_exists():
    options = set(inspect.signature(ckptkit.save).parameters) - {"path", "state", "limits"}
    table = PAGE.partition("## Options")[2].partition("## Promises")[0]
    assert options <= set(re.findall(r"`(\w+)(?:=\w+)?`", table))
    for name in re.findall(r"`(\w+Error)`", PAGE):
        assert issubclass(getattr(ckptkit.errors, name), ckptkit.errors.CkptkitError)


def test_what_the_page_says_comes_back_does(tmp_path):
    import collections
    import datetime as dt
    import enum
    import fractions
    import pathlib

    import numpy as np
    import torch

    Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024
    Colour = enum.Enum("Colour", "RED")
    same = {
        "counter": collections.Counter("aab"),
        "ordered": collections.OrderedDict(a=1),
        "queue": collections.deque([1], maxlen=2),
        "set": frozenset([1, 2]),
        "size": torch.Size([1]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "date": dt.datetime(2020, 1, 2, tzinfo=dt.UTC),
        "fraction": fractions.Fraction(1, 3),
        "path": pathlib.Path("a/b"),
        "scalar": np.float32(1.5),
        "range": range(3),
    }
    records = {"pair": Pair(1, 2), "colour": Colour.RED, "text": type("Text", (str,), {})("x")}
    report = ckptkit.save(tmp_path / "c", {"same": same, "records": records})
    [told] = [one for one in report.notices if one.code == "kept-as-records"]
    with ckptkit.load(tmp_path / "c") as checkpoint:
        back = checkpoint.state("same")
        assert back == same
        assert [type(value) for value in back.values()] == [type(v) for v in same.values()]
        for name, value in checkpoint.state("records").items():
            assert type(value).__name__ == "Record"
            assert f"records/{name}" in told.message
