"""What every trainer has to keep, as tests that the author of one inherits; needs pytest and torch.

::

    from ckptkit.testing.trainer_contract import TrainerContract

    class TestMine(TrainerContract):
        trainer = "mine"
        tiny = {"epochs": 2, "batch_size": 4}   # a training of about ten steps
        architecture = {"hidden": 12}           # another value of what must not change
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import pytest

import ckptkit
from ckptkit.errors import MigrationError
from ckptkit.hooks.manager import trainers
from ckptkit.protocols import Trainer
from ckptkit.testing.killing import MOMENTS
from ckptkit.testing.trainings import ALL, Blow, Trainings
from ckptkit.training.named import settings_class

#: How many calls of each kind a training of about ten steps is sure to make.
WITHIN = {"forward": 60, "step": 16, "mark": 8, "save": 60}


class TrainerContract:
    """Saved whole, stopped anywhere, gone on with to the same bits: a class of tests.

    ``tiny`` are the settings of a training of seconds. ``architecture`` and ``free`` are other
    values of settings that must not, and may, change on resume. ``actions`` are options of each
    action. ``processes``: of a training of several (1: it cannot do that). ``one_way``: sections
    whose migrators have no way back.
    """

    trainer: ClassVar[str] = ""
    tiny: ClassVar[Mapping[str, Any]] = {}
    architecture: ClassVar[Mapping[str, Any]] = {}
    free: ClassVar[Mapping[str, Any]] = {}
    actions: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    kills: ClassVar[int] = 4
    processes: ClassVar[int] = 2
    one_way: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Keep the tests of one trainer in one process, where pytest-xdist spreads them."""
        if "PYTEST_XDIST_WORKER" in os.environ:
            cls.pytestmark = [pytest.mark.xdist_group(f"trainer {cls.trainer}")]

    pytestmark: ClassVar[list[pytest.MarkDecorator]]

    # -- what the tests share ---------------------------------------------------------------------

    @pytest.fixture(scope="class")
    @classmethod
    def offer(cls) -> Trainer:
        """The trainer as its plugin offers it."""
        found = [one for one in trainers() if one.name == cls.trainer]
        assert found, f"no plugin offers the trainer {cls.trainer!r}; `ckptkit plugins` says why"
        return found[0]

    @pytest.fixture(scope="class")
    @classmethod
    def trainings(cls, offer: Trainer) -> Iterator[Trainings]:
        """Where its trainings run."""
        with Trainings(offer.name) as trainings:
            yield trainings

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, trainings: Trainings, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The last checkpoint of a training that nobody stopped."""
        return cls._trained(trainings, tmp_path_factory.mktemp("whole") / "run")

    @classmethod
    def _trained(cls, trainings: Trainings, folder: Path, **how: Any) -> Path:
        ended = trainings.train(folder, cls.tiny, **how)
        assert ended.code == 0, ended.said
        return final_of(folder)

    # -- the contract -----------------------------------------------------------------------------

    def test_every_setting_explains_itself_and_needs_no_torch(self, offer: Trainer) -> None:
        """A command line is made of the config, before anything heavy is imported."""
        module = offer.config.partition(":")[0]
        look = f"import sys, {module}; sys.exit('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", look], check=False)  # noqa: S603
        assert done.returncode == 0, f"{module} imports torch"
        config = _config_of(offer)
        mute = [field.name for field in fields(config) if not field.metadata.get("help")]
        assert mute == []
        config(**self.tiny)

    def test_what_it_saves_verifies_and_names_trainer_settings_and_versions(
        self, offer: Trainer, whole: Path
    ) -> None:
        """A checkpoint says whose it is, and by which settings it was made."""
        assert ckptkit.verify(whole).verdict == "verified"
        with ckptkit.load(whole) as checkpoint:
            assert checkpoint.trainer == offer.name
            assert offer.versions.items() <= checkpoint.versions.items()
            settings = checkpoint.state("config")["settings"]
        assert {name: settings[name] for name in self.tiny} == dict(self.tiny)
        assert set(settings) == {field.name for field in fields(_config_of(offer))}

    def test_killed_at_random_it_ends_in_the_same_bits(
        self, trainings: Trainings, whole: Path, tmp_path: Path
    ) -> None:
        """SIGKILL inside a computation, a step and a save, and between steps; again and again."""
        chance = random.Random(self.trainer)  # noqa: S311  any will do, if it is the same next time
        killed = 0
        for number in range(5 * self.kills):
            folder = tmp_path / str(number)
            for _ in range(3 * self.kills):
                blow = self._blow(chance, killed) if killed < self.kills else None
                ended = trainings.train(folder, self.tiny, blow=blow)
                if ended.code == 0:
                    break
                assert ended.code == -signal.SIGKILL, ended.said
                killed += 1
            assert differences(whole, final_of(folder)) == []
            if killed >= self.kills:
                return
        raise AssertionError(f"only {killed} of {self.kills} kills hit: the training is too short")

    def _blow(self, chance: random.Random, number: int) -> Blow:
        moment = MOMENTS[number % len(MOMENTS)]
        return Blow(moment, chance.randrange(WITHIN[moment]))

    def test_told_to_stop_it_saves_and_goes_on_to_the_same_bits(
        self, trainings: Trainings, whole: Path, tmp_path: Path
    ) -> None:
        """SIGTERM finishes the step, saves, and leaves with 143."""
        blow = Blow("forward", 3, signal.SIGTERM)
        ended = trainings.train(tmp_path / "run", self.tiny, blow=blow)
        assert ended.code == 128 + signal.SIGTERM, ended.said
        assert "interrupted_checkpoint" in ended.said
        assert differences(whole, self._trained(trainings, tmp_path / "run")) == []

    def test_several_processes_that_are_killed_end_in_the_same_bits(
        self, trainings: Trainings, tmp_path: Path
    ) -> None:
        """One dies inside a step, the first saves alone and knows its streams; then all die."""
        if self.processes == 1:
            pytest.skip("this trainer is for one process")
        whole = self._trained(trainings, tmp_path / "whole", processes=self.processes)
        one, every = Blow("step", 5, rank=self.processes - 1), Blow("step", 3, rank=ALL)
        broken = tmp_path / "broken"
        ended = trainings.train(broken, self.tiny, blow=one, processes=self.processes)
        assert ended.code != 0, ended.said
        assert "error: saved error_checkpoint" in ended.said
        assert "are not known" not in ended.said, "its random streams are lost"
        ended = trainings.train(broken, self.tiny, blow=every, processes=self.processes)
        assert ended.code != 0, ended.said
        assert "resumed from" in ended.said
        assert "error_checkpoint: epoch" in ended.said
        final = self._trained(trainings, broken, processes=self.processes)
        assert differences(whole, final) == []

    def test_settings_keep_to_their_policies(
        self, offer: Trainer, trainings: Trainings, whole: Path, tmp_path: Path
    ) -> None:
        """What belongs to the architecture is refused with the difference, the rest may change."""
        policies = {f.name: f.metadata.get("resume", "free") for f in fields(_config_of(offer))}
        fixed = {name for name, policy in policies.items() if policy == "architecture"}
        assert set(self.architecture) <= fixed
        assert bool(fixed) == bool(self.architecture), "give one of them another value"
        assert not set(self.free) & fixed
        for number, (name, value) in enumerate(self.architecture.items()):
            ended = trainings.train(
                tmp_path / str(number), {**self.tiny, name: value}, resume=str(whole)
            )
            assert ended.code == 1
            assert f"SettingConflictError: {whole}: {name} is {value!r}" in ended.said
        if self.free:
            ended = trainings.train(
                tmp_path / "free", {**self.tiny, **self.free}, resume=str(whole)
            )
            assert ended.code == 0, ended.said

    def test_its_migrators_lead_to_its_versions_and_back(
        self, offer: Trainer, trainings: Trainings, whole: Path, tmp_path: Path
    ) -> None:
        """Back to version 1 and to the newest again, every bit is as it was; version 1 resumes."""
        for section, version in offer.versions.items():
            if version == 1:
                continue
            first, again = tmp_path / f"{section}-1", tmp_path / f"{section}-again"
            if section in self.one_way:
                with pytest.raises(MigrationError):
                    _migrate(offer, whole, first, {section: 1})
                continue
            _migrate(offer, whole, first, {section: 1})
            _migrate(offer, first, again, {section: version})
            assert differences(whole, again) == []
            ended = trainings.train(tmp_path / f"{section}-run", self.tiny, resume=str(first))
            assert ended.code == 0, ended.said
            assert f"{section} {version - 1} to {version}" in ended.said

    def test_each_action_returns_plain_data(
        self, offer: Trainer, trainings: Trainings, whole: Path, tmp_path: Path
    ) -> None:
        """``ckptkit sample`` and ``evaluate`` print what an action returns."""
        for action in offer.actions:
            result = tmp_path / f"{action.name}.json"
            options = {
                name: value.format(tmp=tmp_path) if isinstance(value, str) else value
                for name, value in self.actions.get(action.name, {}).items()
            }
            ended = trainings.act(action.name, whole, self.tiny, options, result)
            assert ended.code == 0, ended.said
            assert json.loads(result.read_text()), f"{action.name} has nothing to show"

    def test_inspect_needs_none_of_its_libraries(self, offer: Trainer, whole: Path) -> None:
        """Who looks at a checkpoint need not have what trained it, nor its plugin."""
        blocked = sorted({"torch", "numpy", *offer.needs, offer.train.partition(".")[0]})
        for left_out in ("", "all"):
            done = subprocess.run(  # noqa: S603
                [sys.executable, "-c", _INSPECT, json.dumps(blocked), str(whole)],
                check=False, capture_output=True, text=True,
                env={**os.environ, "CKPTKIT_DISABLE_PLUGINS": left_out},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert offer.name in done.stdout


_INSPECT = """
import json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in json.loads(sys.argv[1]):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from ckptkit.cli.main import app
app.main(["inspect", sys.argv[2]])
"""


def _config_of(offer: Trainer) -> Any:
    return settings_class(offer, offer.config, "config")


def final_of(folder: Path) -> Path:
    """The checkpoint at the target of the one run in a folder."""
    (final,) = folder.glob("*/checkpoints/final_model")
    return final


def differences(one: Path, other: Path) -> list[str]:
    """What differs between two checkpoints: tensors and values, in all sections.

    But for what tells of the processes and their times: the events of the history, the trackers.
    """
    report = ckptkit.diff(one, other)
    rows = [*report.differing, *(row for row in report.settings if not _tells_of_processes(row))]
    return [str(row) for row in rows[:20]]


def _tells_of_processes(row: Any) -> bool:
    events = row.section == "history" and row.name.startswith("events")
    return bool(events or row.section == "trackers")


def _migrate(offer: Trainer, source: Path, target: Path, to: Mapping[str, int]) -> None:
    versions = ckptkit.Versions(trainer=offer.name, to=to)
    ckptkit.migrate(source, target, ckptkit.MigrateOptions(versions=versions))
