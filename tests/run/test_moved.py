"""What a script moves between two save points is put back, so that a resume does it once."""

import copy

import pytest
import torch

from ckptkit.run.moved import Moved
from tests.run.small import Small, raising_at
from tests.run.test_failing import fail_in_epoch


class Patience:
    """Counts epochs without progress, as scripts write it: an object that says its own state."""

    def __init__(self):
        self.waited, self.seen, self.limits = 0, [], {"left": 10}

    def state_dict(self):
        return dict(vars(self))

    def load_state_dict(self, state):
        vars(self).update(state)

    def count(self, number):
        self.waited += 1
        self.seen.append(number)
        self.limits["left"] -= 1
        self.last = number  # an attribute that there was not before


class Average:
    """An average of one's own making; its tensors lie in a dict."""

    def __init__(self, model):
        self.shadow = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.updates = 0

    def state_dict(self):
        return {"shadow": self.shadow, "updates": self.updates}

    def load_state_dict(self, state):
        self.shadow, self.updates = dict(state["shadow"]), state["updates"]

    def update(self, model):
        self.updates += 1
        for name, p in model.named_parameters():
            self.shadow[name].lerp_(p.detach(), 0.1)


class Counting(Small):
    """Counts in the body, before the optimizer steps, in every form that a state may have."""

    def __init__(self):
        counts = {"n": 0, "order": [], "kinds": set(), "tensor": torch.zeros(2)}
        super().__init__(counts=counts, patience=Patience())

    def step(self, run, batch, inside):
        counts = self.state["counts"]
        counts["n"] += 1
        counts["order"].append(run.step)
        counts["kinds"].add(run.step % 4)
        counts["tensor"] += 1
        counts["latest"] = run.step
        self.state["patience"].count(run.step)
        super().step(run, batch, inside)

    def counted(self):
        counts = {**self.state["counts"]}
        return counts.pop("tensor").tolist(), counts, vars(self.state["patience"])


@pytest.mark.parametrize("step", [0, 1, 4])
def test_what_a_body_counted_before_it_failed_is_counted_once(tmp_path, step):
    whole, again = Counting(), Counting()
    whole.train(tmp_path / "truth")
    with pytest.raises(ValueError):
        Counting().train(tmp_path / "run", inside=raising_at(step, ValueError()))
    again.train(tmp_path / "run")
    assert again.counted() == whole.counted()
    assert again.bits() == whole.bits()


class Tail(Small):
    def __init__(self, **sizes):
        super().__init__(patience=Patience(), **sizes)

    def loop(self, run, epochs, inside, tail):
        for epoch in run.epochs(epochs):
            for batch in run.batches(self.loader):
                self.step(run, batch, inside)
            self.state["patience"].count(epoch)
            if "average" in self.state:
                self.state["average"].update(self.model)
            tail(run)
            run.log(val_loss=self.evaluate())


class Averaging(Tail):
    def __init__(self):
        super().__init__(hidden=100)  # what is small would be put back
        self.state["average"] = Average(self.model)


@pytest.mark.parametrize("kind", [Tail, Averaging])
def test_an_object_of_the_scripts_own_that_moved_in_the_tail_moves_once(tmp_path, kind):
    whole, broken, again = kind(), kind(), kind()
    whole.train(tmp_path / "truth")
    with pytest.raises(ValueError):
        broken.train(tmp_path / "run", tail=fail_in_epoch(1))
    again.train(tmp_path / "run")
    assert vars(again.state["patience"]) == vars(whole.state["patience"])
    if kind is Averaging:  # tensors cannot be put back: the epoch's checkpoint is what there is
        assert "nothing is saved of it" in broken.said
        one, other = again.state["average"], whole.state["average"]
        assert one.updates == other.updates
        assert all(torch.equal(one.shadow[name], other.shadow[name]) for name in one.shadow)
    else:
        assert "saved error_checkpoint" in broken.said
    assert again.bits() == whole.bits()


def replace(state):
    state["early"] = {**state["early"], "waited": state["early"]["waited"] + 1}


def replace_inside(state):
    state["early"]["best"] = {"value": state["early"]["best"]["value"] - 1}


def replace_object(state):
    state["patience"] = copy.copy(state["patience"])
    state["patience"].waited += 1


def add_row(state):
    state["early"].setdefault("rows", []).append({"at": len(state["early"].get("rows", ()))})


def change_row(state):
    state["early"]["seen"][0]["n"] += 1


@pytest.mark.parametrize("change", [replace, replace_inside, replace_object, add_row, change_row])
def test_whatever_a_tail_does_to_data_is_taken_back(tmp_path, change):
    class Changing(Small):
        def __init__(self):
            early = {"waited": 0, "best": {"value": 9.0}, "seen": [{"n": 0}]}
            super().__init__(early=early, patience=Patience())

        def loop(self, run, epochs, inside, tail):
            for _ in run.epochs(epochs):
                for batch in run.batches(self.loader):
                    self.step(run, batch, inside)
                change(self.state)
                tail(run)
                run.log(val_loss=self.evaluate())

    whole, broken, again = Changing(), Changing(), Changing()
    whole.train(tmp_path / "truth")
    with pytest.raises(ValueError):
        broken.train(tmp_path / "run", tail=fail_in_epoch(1))
    assert "saved error_checkpoint" in broken.said
    again.train(tmp_path / "run")
    assert again.state["early"] == whole.state["early"]
    assert vars(again.state["patience"]) == vars(whole.state["patience"])


def test_data_that_loop_inside_of_themselves_are_noted_at_every_step():
    node = {"children": []}
    node["children"].append({"parent": node})
    patience = Patience()
    patience.tree = [node]
    moved = Moved({"patience": patience})
    moved.note(weights=True)
    patience.waited = 7
    moved.put_back()
    assert patience.waited == 0
    assert patience.tree[0]["children"][0]["parent"] is patience.tree[0]
