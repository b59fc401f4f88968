"""A plan never touches the live model, whatever the hooks of its modules hold."""

import functools
import weakref

import pytest

torch = pytest.importorskip("torch")

import ckptkit  # noqa: E402
from ckptkit.torch_bridge.own_loading import rehearse  # noqa: E402


class Layer(torch.nn.Module):
    """One whose pre-hook counts on whatever ``reach`` finds."""

    def __init__(self, make):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(2))
        self.hits = 0
        make(self)


class Holder:
    def __init__(self, held):
        self.held = held

    def hook(self, *_):
        self.held().hits += 1


class Slotted:
    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held


GLOBAL = []


def registered(module, hook):
    module._register_load_state_dict_pre_hook(hook)


def closure_of(value, reach):
    def hook(*_):
        reach(value).hits += 1

    return hook


def default_of(module):
    def hook(*_, held=module):
        held.hits += 1

    return hook


def by_global(*_):
    GLOBAL[0].hits += 1


def counting(module, *_):
    module.hits += 1


def nested(module):
    inner = closure_of(module, lambda m: m)

    def hook(*_):
        inner()

    return hook


def owned_global(module):
    GLOBAL[:] = [module]
    registered(module, by_global)


def method_of_object(module):
    registered(module, Holder(lambda: module).hook)


def weak_object(module):
    registered(module, Holder(weakref.ref(module)).hook)


def own_loading_function(module):
    def load(state_dict, *_, **__):
        module.hits += 1

    module._load_from_state_dict = load


CASES = {
    "itself": lambda m: registered(m, closure_of(m, lambda v: v)),
    "a list": lambda m: registered(m, closure_of([m], lambda v: v[0])),
    "a tuple": lambda m: registered(m, closure_of((m,), lambda v: v[0])),
    "a dict": lambda m: registered(m, closure_of({"m": m}, lambda v: v["m"])),
    "a set": lambda m: registered(m, closure_of({m}, lambda v: next(iter(v)))),
    "a list of lists": lambda m: registered(m, closure_of([[m]], lambda v: v[0][0])),
    "a weak reference": lambda m: registered(m, closure_of(weakref.ref(m), lambda v: v())),
    "an object": lambda m: registered(m, closure_of(Holder(m), lambda v: v.held)),
    "an object of slots": lambda m: registered(m, closure_of(Slotted(m), lambda v: v.held)),
    "a bound method": lambda m: registered(m, closure_of(m.extra_repr, lambda v: v.__self__)),
    "a partial": lambda m: registered(
        m, closure_of(functools.partial(counting, m), lambda v: v.args[0])
    ),
    "a partial of a closure": lambda m: registered(
        m, functools.partial(closure_of([m], lambda v: v[0]), 1)
    ),
    "a default": lambda m: registered(m, default_of(m)),
    "a closure in a closure": lambda m: registered(m, nested(m)),
    "a method of an object that closes over it": method_of_object,
    "a method of an object with a weak reference": weak_object,
    "a global list": owned_global,
    "a loading function of the instance": own_loading_function,
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_a_plan_leaves_a_module_alone_that_its_hook_reaches_through(make, tmp_path):
    ckptkit.save(tmp_path / "a", {"model": Layer(make)})
    live = Layer(make)
    live.hits = 0
    ckptkit.plan_restore(tmp_path / "a", {"model": live})
    assert live.hits == 0


def test_a_hook_that_is_a_bound_method_or_a_plain_function_is_still_rehearsed():
    def plain(state_dict, prefix, *_):
        state_dict.pop(prefix + "old", None)

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.ones(2))
            self.hits = 0
            self._register_load_state_dict_pre_hook(self.own)
            self._register_load_state_dict_pre_hook(functools.partial(counting, self))
            registered(self, plain)

        def own(self, *_):
            self.hits += 1

    live = Plain()
    outcome = rehearse(live, {}, {})
    assert outcome is not None
    assert outcome.missing == ("w",)
    assert live.hits == 0
