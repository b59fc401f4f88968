"""Recognition: the best claim wins with its evidence, a tie is refused, a name overrules."""

import pickle

import pytest

from ckptkit.dialects.recognition import recognise
from ckptkit.errors import AmbiguousDialectError, UnknownDialectError
from ckptkit.hooks.builtins import ckptkit_dialects
from ckptkit.protocols import Reading, Recognition
from tests.dialects.accounting import adam, read, read_view, state_dict, view_of


class Claims:
    title = "A dialect of this test"

    def __init__(self, name, score, *evidence):
        self.name, self.score, self.evidence = name, score, evidence

    def recognise(self, view):
        return Recognition(self.score, self.evidence) if self.score else None

    def interpret(self, view) -> Reading:
        raise NotImplementedError


def test_the_highest_score_wins_and_the_runner_up_is_named():
    dialects = [Claims("low", 10, "a"), Claims("high", 70, "b", "c"), Claims("none", 0)]
    verdict = recognise(view_of({}), dialects)
    assert (verdict.dialect.name, verdict.score, verdict.evidence) == ("high", 70, ("b", "c"))
    assert verdict.runner_up == ("low", 10)


def test_a_tie_is_refused_naming_both_with_their_evidence():
    dialects = [Claims("one", 70, "its key"), Claims("two", 70, "its name"), Claims("low", 3, "x")]
    with pytest.raises(AmbiguousDialectError) as caught:
        recognise(view_of({}, name="run.pt"), dialects)
    told = str(caught.value)
    for word in ("run.pt", "one", "two", "its key", "its name", "--dialect one or --dialect two"):
        assert word in told
    assert "low" not in told
    assert str(pickle.loads(pickle.dumps(caught.value))) == told


def test_the_user_breaks_a_tie_by_name():
    dialects = [Claims("one", 70, "x"), Claims("two", 70, "y")]
    verdict = recognise(view_of({}), dialects, "two")
    assert (verdict.dialect.name, verdict.runner_up) == ("two", ("one", 70))
    assert "asked for by name" in verdict.evidence[0]


def test_a_name_that_nobody_has_lists_the_names():
    with pytest.raises(UnknownDialectError, match=r"bare.*lightning.*unknown"):
        recognise(view_of({}), list(ckptkit_dialects()), "no-such")


def test_no_claim_at_all_is_an_error_of_its_own():
    with pytest.raises(UnknownDialectError, match="--dialect"):
        recognise(view_of({}), [Claims("none", 0)])


def test_every_dialect_of_ours_has_a_name_and_a_title_of_its_own():
    dialects = list(ckptkit_dialects())
    assert len({one.name for one in dialects}) == len(dialects) >= 17
    assert len({one.title for one in dialects}) == len(dialects)


@pytest.mark.parametrize("name", sorted(one.name for one in ckptkit_dialects()))
@pytest.mark.parametrize(
    "root", [{}, None, [1], {"model": state_dict(), "optimizer": adam()}, state_dict(), {"a": {}}]
)
def test_a_dialect_that_is_forced_on_a_tree_loses_nothing(name, root):
    _, reading = read(root, wanted=name)
    assert reading.version in (0, 1)


@pytest.mark.parametrize("container", ["folder", "dcp", "torch-zip"])
@pytest.mark.parametrize("name", sorted(one.name for one in ckptkit_dialects()))
def test_forced_on_a_folder_neither(name, container):
    root = {
        "model.safetensors": state_dict(),
        "meta.pt": {"epoch": 3},
        "optimizer_0": {"optimizer": adam()},
    }
    read_view(view_of(root, container=container), wanted=name)
