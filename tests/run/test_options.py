"""A mistake at the call is said at the call: what was seen, what there is, what to write."""

import dataclasses
import pathlib

import pytest

import ckptkit
from ckptkit.errors import SettingError
from ckptkit.run.options import RunOptions
from ckptkit.run.policy import SavePolicy
from ckptkit.run.retention import KeepBest, KeepLast, Retention
from tests.run.small import Small, names


class Nameless:
    """Looks like a writer of TensorBoard's own, which is no tracker."""

    def flush(self):
        pass

    def close(self):
        pass


@dataclasses.dataclass
class Marked:
    width: int = dataclasses.field(default=3, metadata={"resume": "fixed"})


MISTAKES = {
    "resume=True": ({"resume": True}, 'resume: True; .*write resume="auto"'),
    "resume=False": ({"resume": False}, 'resume: False; .*write resume="never"'),
    "resume=''": ({"resume": ""}, "resume: ''; expected \"auto\", \"never\""),
    "resume=3": ({"resume": 3}, "resume: 3; "),
    "save": ({"save": {"best": "val"}}, "save: a dict; expected a ckptkit.SavePolicy"),
    "retention": ({"retention": 3}, "retention: 3; expected .* a rule such as KeepLast"),
    "policies": ({"policies": {"w": "arch"}}, "policies: w: 'arch' is none.*\"free\" .*\"archi"),
    "metadata": ({"config": Marked()}, "policies: width: 'fixed' is none of its choices"),
    "trackers": ({"trackers": "tensorboard"}, "trackers: 'tensorboard'; expected a list"),
    "a tracker": ({"trackers": ["mlflow"]}, "'mlflow' is unknown; expected tensorboard and wandb"),
    "own tracker": ({"trackers": [Nameless()]}, "a Nameless has no name, open, log, state"),
    "row_steps": ({"row_steps": 0}, "row_steps: 0; expected a whole number from 1"),
    "self_test": ({"self_test": True}, "there is no probe"),
}  # fmt: skip
POLICIES = {
    "mode": ({"mode": "lower"}, "'lower' is none of its choices; expected \"min\" .smaller is"),
    "when_busy": ({"when_busy": "drop"}, '\'drop\' is none .*"wait" .*, "skip" '),
    "every": ({"every_steps": -1}, "SavePolicy.every_steps: -1; .* 0 switches it off"),
    "text": ({"every_epochs": "1"}, "SavePolicy.every_epochs: '1'; expected a number"),
    "best": ({"best": True}, "SavePolicy.best: True; expected the name of a metric"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_an_option_that_cannot_be_is_refused_with_what_can(tmp_path, what):
    options, told = MISTAKES[what]
    with pytest.raises(SettingError, match=told):
        ckptkit.Run(tmp_path / "run", Small().state, **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("what", POLICIES)
def test_a_policy_that_cannot_be_is_refused_with_what_can(what):
    options, told = POLICIES[what]
    with pytest.raises(SettingError, match=told):
        SavePolicy(**options)


@pytest.mark.parametrize("resume", [None, "auto", "latest", pathlib.Path("runs/one")])
def test_what_may_be_resumed_from_is_accepted(resume):
    assert RunOptions(resume=resume).resume == resume


def test_a_rule_alone_is_a_retention_that_keeps_by_it(tmp_path):
    rule = KeepLast(1) | KeepBest(1)
    assert RunOptions(retention=rule).retention == Retention(keep=rule)
    Small().train(tmp_path, 3, save=SavePolicy(), retention=KeepLast(1))
    assert [name for name in names(tmp_path) if "epoch" in name] == ["checkpoint_epoch_3"]
