"""State of one network never goes to another one of the same class, and follows through any tie."""

import itertools

import pytest
import torch

import ckptkit
from ckptkit.errors import MismatchError, OptimizerMatchError
from ckptkit.plugin import SectionMigrator, Transpose
from tests.unit.training import named_state, network, same, train


def trained(seed=1):
    model = network(seed)
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, seed=seed)
    return model, optimizer


def tied(order):
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name in order:
                setattr(self, name, torch.nn.Linear(3, 3, bias=False))
            self.head.weight = self.embed.weight

        def forward(self, x):
            return self.head(self.embed(x))

    return Tied()


def test_the_state_of_another_network_of_the_same_names_is_refused(tmp_path):
    (maker, one), (judge, _) = trained(1), trained(2)
    ckptkit.save(tmp_path / "c", {"maker": maker, "judge": judge, "optimizer": one})
    other = network(3)
    resumed = torch.optim.Adam(other.parameters())
    with pytest.raises(OptimizerMatchError, match="another model"):
        ckptkit.restore(tmp_path / "c", {"judge": other, "optimizer": resumed})
    assert not resumed.state


def test_of_an_optimizer_over_two_networks_one_takes_its_own_part(tmp_path):
    maker, judge = network(1), network(2)
    both = torch.optim.Adam([*maker.parameters(), *judge.parameters()])
    train(torch.nn.Sequential(maker, torch.nn.Linear(6, 4), judge), both)
    ckptkit.save(tmp_path / "c", {"maker": maker, "judge": judge, "optimizer": both})
    other = network(3)
    resumed = torch.optim.Adam(other.parameters())
    ckptkit.restore(tmp_path / "c", {"judge": other, "optimizer": resumed})
    assert same(named_state(other, resumed), named_state(judge, both))


def test_the_only_stored_optimizer_is_not_given_to_two(tmp_path):
    (maker, one), (judge, two) = trained(1), trained(2)
    ckptkit.save(tmp_path / "c", {"maker": maker, "judge": judge, "optimizer": {"maker": one}})
    targets = {"maker": maker, "judge": judge, "optimizer_maker": one, "optimizer_judge": two}
    with pytest.raises(MismatchError, match="holds maker, and nothing says which one"):
        ckptkit.restore(tmp_path / "c", targets)


def test_state_of_a_tied_parameter_follows_it_to_its_other_name(tmp_path):
    model = tied(("embed", "head"))
    optimizer = torch.optim.Adam(model.parameters())
    x = torch.ones(2, 3)
    model(x).sum().backward()
    optimizer.step()
    ckptkit.save(tmp_path / "c", {"model": model, "optimizer": optimizer})
    other = tied(("head", "embed"))
    resumed = torch.optim.Adam(other.parameters())
    report = ckptkit.restore(tmp_path / "c", {"model": other, "optimizer": resumed})
    assert report.component("optimizer").status == "restored"
    assert same(resumed.state[other.head.weight], optimizer.state[model.head.weight])


def test_state_follows_a_tied_parameter_whose_first_name_is_gone(tmp_path):
    model = tied(("embed", "head"))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    ckptkit.save(tmp_path / "c", {"model": model, "optimizer": optimizer})
    other = torch.nn.ModuleDict({"head": torch.nn.Linear(3, 3, bias=False)})
    resumed = torch.optim.Adam(other.parameters())
    ckptkit.restore(tmp_path / "c", {"model": other, "optimizer": resumed})
    mine, theirs = resumed.state[other["head"].weight], optimizer.state[model.head.weight]
    assert same(mine, theirs)


def test_a_part_of_two_networks_keeps_its_state_in_any_order_of_the_targets(tmp_path):
    def pair(seed):
        torch.manual_seed(seed)
        part = torch.nn.Linear(3, 3)
        return [torch.nn.Sequential(part, torch.nn.Linear(3, 1)) for _ in range(2)]

    one, two = pair(1)
    both = {*one.parameters(), *two.parameters()}
    optimizer = torch.optim.Adam(both)
    (one(torch.ones(2, 3)) - 2 * two(torch.ones(2, 3))).sum().backward()
    optimizer.step()
    ckptkit.save(tmp_path / "c", {"one": one, "two": two, "optimizer": optimizer})
    a, b = pair(2)
    resumed = torch.optim.Adam([*b.parameters(), *a[1].parameters()])
    report = ckptkit.restore(tmp_path / "c", {"two": b, "one": a, "optimizer": resumed})
    assert report.component("optimizer").status == "restored"
    for live, stored in ((a, one), (b, two)):
        assert same(named_state(live, resumed), named_state(stored, optimizer))


def test_state_that_a_migrator_cannot_lead_along_is_a_restore_in_part(tmp_path):
    model = torch.nn.Linear(4, 4, bias=False)
    optimizer = torch.optim.Adafactor(model.parameters())
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    ckptkit.save(tmp_path / "c", {"model": model, "optimizer": optimizer})
    turned = SectionMigrator(
        trainer="t", section="model", start=1, stop=2, title="turned",
        operations=(Transpose("weight"),),
    )  # fmt: skip
    other = torch.nn.Linear(4, 4, bias=False)
    resumed = torch.optim.Adafactor(other.parameters())
    report = ckptkit.restore(
        tmp_path / "c", {"model": other, "optimizer": resumed}, trainer="t", migrators=[turned]
    )
    assert not resumed.state
    assert report.component("optimizer").status == "partly"


def trained_pair(*widths):
    layers = [torch.nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return model, optimizer


def test_an_optimizer_without_its_model_is_not_told_that_nobody_stored_names(tmp_path):
    model, optimizer = trained_pair(3, 4, 5)
    ckptkit.save(tmp_path / "c", {"model": model, "optimizer": optimizer})
    report = ckptkit.plan_restore(tmp_path / "c", {"optimizer": trained_pair(3, 4, 5)[1]})
    part = report.component("optimizer")
    assert part.lines == ()
    assert any("no module among the targets names its parameters" in one for one in part.notes)
    assert not any("nobody stored names" in one for one in part.notes)
    other = ckptkit.plan_restore(tmp_path / "c", {"optimizer": trained_pair(3, 4)[1]})
    assert "no module among the targets names the live parameters" in str(other)
    assert "the stored parameters have no names" not in str(other)


def test_what_is_dropped_has_the_name_that_the_stored_model_proves(tmp_path):
    model, optimizer = trained_pair(3, 4, 5, 6)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()},
               tmp_path / "c.pt")  # fmt: skip
    smaller, resumed = trained_pair(3, 4, 5)
    report = ckptkit.plan_restore(
        tmp_path / "c.pt", {"model": smaller, "optimizer": resumed}, allow_unexpected=True
    )
    lines = report.component("optimizer").lines
    assert [(one.kind, one.name) for one in lines] == [
        ("dropped", "2.weight"),
        ("dropped", "2.bias"),
    ]


def test_a_reshaped_parameter_has_the_shape_that_the_stored_model_proves(tmp_path):
    model, optimizer = trained_pair(3, 4, 5)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()},
               tmp_path / "c.pt")  # fmt: skip
    wider, resumed = trained_pair(3, 4, 7)
    report = ckptkit.plan_restore(
        tmp_path / "c.pt", {"model": wider, "optimizer": resumed}, on_shape="slice"
    )
    told = {one.detail for one in report.component("optimizer").lines if one.name == "1.weight"}
    assert told == {"[5, 4] in the file, [7, 4] in the model"}
