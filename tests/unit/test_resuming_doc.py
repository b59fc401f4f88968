import re
from pathlib import Path

from torch.optim import lr_scheduler

from ckptkit.torch_bridge.averages import DECIDED
from ckptkit.torch_bridge.scheduler_fields import SETTINGS
from ckptkit.torch_bridge.schedulers import MAX_REPLAYED_STEPS
from ckptkit.verbs.restoring.settling import IMPLEMENTATION

TEXT = (Path(__file__).parents[2] / "docs" / "resuming.md").read_text()


def test_the_page_names_the_settings_of_every_scheduler():
    rows = dict(re.findall(r"^\| (\w+) \| (.*) \|$", TEXT, re.MULTILINE))
    told = {name: tuple(re.findall(r"`(\w+)`", rows[name].partition(";")[0])) for name in SETTINGS}
    assert told == SETTINGS


def test_every_scheduler_of_torch_is_known():
    theirs = {
        name
        for name in lr_scheduler.__all__
        if isinstance(getattr(lr_scheduler, name), type) and name != "LRScheduler"
    }
    assert theirs <= set(SETTINGS)


def test_the_page_names_the_fields_that_decide_otherwise():
    assert all(f"`{field}`" in TEXT for field in (*IMPLEMENTATION, *DECIDED))
    assert f"{MAX_REPLAYED_STEPS:,} steps" in TEXT
