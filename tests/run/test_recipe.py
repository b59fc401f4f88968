"""What could not be saved, or not be gone on from, is refused when the run is entered."""

import argparse
import types

import pytest
import torch
from torch import nn

from ckptkit.errors import CkptkitError, UnrepresentableError
from ckptkit.run.options import RunOptions
from ckptkit.run.recipe import recipe_of
from tests.run.small import Small, names

PLAIN = {"number": 0, "text": "word", "truth": True, "pair": (1, 2), "kind": torch.float32}
NO_DATA = {
    "a function": lambda: 0,
    "a class": Small,
    "an object": object(),
    "a generator": torch.Generator(),
    "optimizers": [torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1)],
}


def refused(folder, one, **options):
    with pytest.raises(UnrepresentableError) as told:
        one.train(folder, **options)
    assert one.seen == []
    assert not list(folder.iterdir())  # and no empty run is left
    return str(told.value)


@pytest.mark.parametrize("what", NO_DATA)
def test_a_state_that_is_no_data_is_refused_before_anything_is_trained(tmp_path, what):
    assert "extra" in refused(tmp_path, Small(extra=NO_DATA[what]))


@pytest.mark.parametrize("value", [NO_DATA["a function"], Small])
def test_settings_that_are_no_data_are_refused_by_their_name(tmp_path, value):
    told = refused(tmp_path, Small(), config=argparse.Namespace(lr=0.1, func=value))
    assert told.startswith("config/settings/func: ")


@pytest.mark.parametrize("value", PLAIN.values(), ids=PLAIN)
def test_what_no_resume_could_fill_is_refused_with_where_to_put_it(tmp_path, value):
    told = refused(tmp_path, Small(count=value))
    assert f'put it in a dict that the script uses: "counts": {{"count": {value!r}}}' in told


def test_a_version_of_no_section_and_a_name_that_no_file_can_have_are_refused(tmp_path):
    assert "versions/modle" in refused(tmp_path, Small(), versions={"modle": 2})
    with pytest.raises(CkptkitError, match="a plain file name"):
        Small(**{"a/b": {}}).train(tmp_path)


def test_neither_the_probe_nor_a_tensor_is_touched_by_looking(monkeypatch):
    one, asked = Small(buffer=torch.ones(3)), []
    for name in ("clone", "numpy", "contiguous", "cpu", "tolist", "__deepcopy__"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_, name=name: asked.append(name))
    recipe_of(one.state, RunOptions(probe=lambda: asked.append("probe")))
    assert asked == []


def test_a_lazy_module_is_asked_for_a_forward_pass_first(tmp_path):
    assert "run one forward pass" in refused(tmp_path, Small(head=nn.LazyLinear(2)))


def test_a_state_that_cannot_be_given_yet_is_asked_for_again_when_it_is_saved(tmp_path):
    """As that of an optimizer over several processes, which has to be gathered first."""
    gathered = []

    def state_dict():
        if not gathered:
            raise RuntimeError("it was not gathered yet")
        return {"counted": 1}

    late = types.SimpleNamespace(state_dict=state_dict, load_state_dict=lambda _: None)
    Small(late=late).train(tmp_path, 1, inside=lambda *_: gathered.append(1))
    assert "checkpoint_epoch_1" in names(tmp_path)


def test_what_is_accepted_goes_on(tmp_path):
    extra = {"counter": {"waited": 0}, "rows": [1, 2], "table": torch.ones(2), "nothing": None}
    Small(**extra).train(tmp_path, 1)
    one = Small(**extra)
    one.train(tmp_path, 2)
    assert one.last.epoch == 2
