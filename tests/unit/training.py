"""Small models that really train, so that a restored run can be held against an unbroken one."""

import warnings

import torch

import ckptkit

KINDS = {
    "Adadelta": lambda ps: torch.optim.Adadelta(ps, lr=0.5),
    "Adadelta, capturable off, foreach": lambda ps: torch.optim.Adadelta(ps, lr=0.5, foreach=True),
    "Adafactor": lambda ps: torch.optim.Adafactor(ps, lr=0.02),
    "Adagrad": lambda ps: torch.optim.Adagrad(ps, lr=0.1, lr_decay=0.01),
    "Adam": lambda ps: torch.optim.Adam(ps, lr=0.02),
    "Adam, amsgrad": lambda ps: torch.optim.Adam(ps, lr=0.02, amsgrad=True),
    "Adam, maximize": lambda ps: torch.optim.Adam(ps, lr=0.002, maximize=True),
    "Adam, tensor lr": lambda ps: torch.optim.Adam(ps, lr=torch.tensor(0.02), foreach=False),
    "AdamW": lambda ps: torch.optim.AdamW(ps, lr=0.02, weight_decay=0.1),
    "AdamW, fused": lambda ps: torch.optim.AdamW(ps, lr=0.02, fused=True),
    "Adamax": lambda ps: torch.optim.Adamax(ps, lr=0.02),
    "ASGD": lambda ps: torch.optim.ASGD(ps, lr=0.02, t0=2),
    "LBFGS": lambda ps: torch.optim.LBFGS(ps, lr=0.1, max_iter=4, history_size=5),
    "LBFGS, strong wolfe": lambda ps: torch.optim.LBFGS(
        ps, max_iter=3, line_search_fn="strong_wolfe"
    ),
    "Muon": lambda ps: torch.optim.Muon(ps, lr=0.02),
    "NAdam": lambda ps: torch.optim.NAdam(ps, lr=0.02),
    "RAdam": lambda ps: torch.optim.RAdam(ps, lr=0.02),
    "RMSprop": lambda ps: torch.optim.RMSprop(ps, lr=0.005),
    "RMSprop, centered, momentum": lambda ps: torch.optim.RMSprop(
        ps, lr=0.005, centered=True, momentum=0.9
    ),
    "Rprop": lambda ps: torch.optim.Rprop(ps, lr=0.01),
    "SGD": lambda ps: torch.optim.SGD(ps, lr=0.02),
    "SGD, momentum": lambda ps: torch.optim.SGD(ps, lr=0.02, momentum=0.9),
    "SGD, nesterov": lambda ps: torch.optim.SGD(ps, lr=0.02, momentum=0.9, nesterov=True),
    "SGD, momentum, fused": lambda ps: torch.optim.SGD(ps, lr=0.02, momentum=0.9, fused=True),
    "SparseAdam": lambda ps: torch.optim.SparseAdam(ps, lr=0.02),
}


class Words(torch.nn.Module):
    """Embeddings with sparse gradients."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Embedding(7, 4, sparse=True)
        self.second = torch.nn.Embedding(4, 4, sparse=True)

    def forward(self, inputs):
        picked = (inputs[:, 0].abs() * 3).long().clamp(max=3)
        return self.first(picked) + self.second(picked)


def network(seed=0, kind="Adam"):
    torch.manual_seed(seed)
    if kind.startswith("SparseAdam"):
        return Words()
    bias = not kind.startswith("Muon")
    return torch.nn.Sequential(
        torch.nn.Linear(4, 6, bias=bias),
        torch.nn.Tanh(),
        torch.nn.Linear(6, 6, bias=bias),
        torch.nn.Linear(6, 6, bias=bias),
    )


def train(model, optimizer, *schedules, steps=3, seed=1):
    """Take some steps on data that depend on ``seed`` alone."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        inputs = torch.randn(5, 4, generator=generator)

        def closure(inputs=inputs):
            optimizer.zero_grad()
            loss = (model(inputs.to(next(model.parameters()).dtype)) ** 2).mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        for schedule in schedules:
            if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
                schedule.step(1.0)
            else:
                schedule.step()


def same(left, right):
    """Compare two states to the bit, types and order of keys included."""
    if isinstance(left, torch.Tensor):
        return (
            isinstance(right, torch.Tensor)
            and left.dtype == right.dtype
            and left.shape == right.shape
            and left.is_sparse == right.is_sparse
            and torch.equal(left, right)
        )
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def named_state(model, optimizer):
    """What the optimizer keeps for each parameter, by the parameter's name."""
    return {
        name: dict(optimizer.state[parameter])
        for name, parameter in model.named_parameters()
        if optimizer.state.get(parameter)
    }


def saved(folder, how, **state):
    """Save by ckptkit, or as everybody does by torch.save of state_dicts."""
    if how == "ckptkit":
        ckptkit.save(folder / "checkpoint", state)
        return folder / "checkpoint"
    path = folder / "checkpoint.pt"
    dicts = {
        name: value.state_dict() if hasattr(value, "state_dict") else value
        for name, value in state.items()
    }
    torch.save(dicts, path)
    return path


def quietly(make, *args, **options):
    """Make something that warns of its own nature."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*args, **options)
